package main

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// tenancyName is the name in the certificate of tenancy.
const tenancyName = "tenancy"

// registry is tenancy as far as adopt needs it: it computes new ids from legacy ids. Its
// time is not measured.
type registry struct {
	tenancyv1.UnsafeImportServiceServer
}

// firstID is added to legacy ids, so that new ids differ from them.
const firstID = 1_000_000

func imported(legacyID int64, name string) *tenancyv1.ImportResult {
	return &tenancyv1.ImportResult{
		LegacyId: legacyID, Id: firstID + legacyID, DisplayName: name, Outcome: tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED,
	}
}

func (registry) ImportWorkspaces(_ context.Context, req *tenancyv1.ImportWorkspacesRequest) (*tenancyv1.ImportWorkspacesResponse, error) {
	resp := &tenancyv1.ImportWorkspacesResponse{}
	for _, w := range req.Workspaces {
		resp.Results = append(resp.Results, imported(w.LegacyId, w.DisplayName))
	}
	return resp, nil
}

func (registry) ImportUsers(_ context.Context, req *tenancyv1.ImportUsersRequest) (*tenancyv1.ImportUsersResponse, error) {
	resp := &tenancyv1.ImportUsersResponse{}
	for _, u := range req.Users {
		resp.Results = append(resp.Results, imported(u.LegacyId, u.DisplayName))
	}
	return resp, nil
}

func (registry) ImportTenants(_ context.Context, req *tenancyv1.ImportTenantsRequest) (*tenancyv1.ImportTenantsResponse, error) {
	resp := &tenancyv1.ImportTenantsResponse{}
	for _, t := range req.Tenants {
		resp.Results = append(resp.Results, imported(t.LegacyId, t.DisplayName))
	}
	return resp, nil
}

func (registry) ImportMembers(_ context.Context, req *tenancyv1.ImportMembersRequest) (*tenancyv1.ImportMembersResponse, error) {
	resp := &tenancyv1.ImportMembersResponse{}
	for _, m := range req.Members {
		resp.Results = append(resp.Results, &tenancyv1.ImportMemberResult{
			LegacyWorkspaceId: m.LegacyWorkspaceId, LegacyUserId: m.LegacyUserId, Role: m.Role,
			WorkspaceId: firstID + m.LegacyWorkspaceId, UserId: firstID + m.LegacyUserId,
			Outcome: tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED,
		})
	}
	return resp, nil
}

// withTenancy runs do while the registry serves at an address.
func (w *world) withTenancy(ctx context.Context, do func(address string) error) error {
	s, err := rpc.NewServer(tenancyName, rpc.ServerConfig{
		Listen: "127.0.0.1:0", TLSCert: w.ca.CertFile(tenancyName), TLSKey: w.ca.KeyFile(tenancyName), TLSCA: w.ca.RootFile(),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	tenancyv1.RegisterImportServiceServer(s.Registrar(), registry{})
	if err := s.Listen(ctx); err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	group, serving := errgroup.WithContext(serving)
	group.Go(func() error { return s.Serve(serving, nil) })
	group.Go(func() error {
		defer stop()
		return do(s.Addr())
	})
	return group.Wait()
}
