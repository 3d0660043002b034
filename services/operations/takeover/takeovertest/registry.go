package takeovertest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// Registry is tenancy's ImportService in memory. Equal legacy ids get equal results.
type Registry struct {
	tenancyv1.UnsafeImportServiceServer
	mu    sync.Mutex
	Known Registered
}

// Registered is what a registry knows.
type Registered struct {
	Last       int64
	Workspaces map[int64]Object // by legacy id; so are the others
	Users      map[int64]Object
	Tenants    map[int64]Object
	Members    map[[2]int64]tenancyv1.Role
}

// Object is a workspace, user or tenant.
type Object struct {
	ID          int64
	Name, Email string
	WorkspaceID int64
	Directory   string
}

// NewRegistry returns an empty registry whose first id is first.
func NewRegistry(first int64) *Registry {
	return &Registry{Known: Registered{
		Last: first - 1, Workspaces: map[int64]Object{}, Users: map[int64]Object{}, Tenants: map[int64]Object{}, Members: map[[2]int64]tenancyv1.Role{},
	}}
}

// Serve serves r to the takeover.
func (r *Registry) Serve(t *testing.T) (*rpctest.Service, tenancyv1.ImportServiceClient) {
	t.Helper()
	svc := rpctest.Serve(t, "tenancy", func(s grpc.ServiceRegistrar) { tenancyv1.RegisterImportServiceServer(s, r) })
	return svc, tenancyv1.NewImportServiceClient(svc.Dial(t, "takeover"))
}

// change runs do on what is known, or on a copy of it in a rehearsal.
func (r *Registry) change(rehearsal bool, do func(*Registered)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.Known
	if rehearsal {
		r.Known = Registered{before.Last, maps.Clone(before.Workspaces), maps.Clone(before.Users), maps.Clone(before.Tenants), maps.Clone(before.Members)}
	}
	do(&r.Known)
	if rehearsal {
		r.Known = before
	}
}

func (k *Registered) take(in map[int64]Object, legacyID int64, o Object) *tenancyv1.ImportResult {
	outcome := tenancyv1.ImportOutcome_IMPORT_OUTCOME_FOUND
	if _, ok := in[legacyID]; !ok {
		outcome = tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED
		k.Last++
		o.ID = k.Last
		in[legacyID] = o
	}
	return &tenancyv1.ImportResult{LegacyId: legacyID, Id: in[legacyID].ID, Outcome: outcome, DisplayName: in[legacyID].Name}
}

func refused(err *errs.Error) *status.Status { return err.GRPCStatus().Proto() }

func (r *Registry) ImportWorkspaces(_ context.Context, req *tenancyv1.ImportWorkspacesRequest) (*tenancyv1.ImportWorkspacesResponse, error) {
	resp := &tenancyv1.ImportWorkspacesResponse{}
	r.change(req.ValidateOnly, func(k *Registered) {
		for _, w := range req.Workspaces {
			name := w.DisplayName
			for id, other := range k.Workspaces {
				if id != w.LegacyId && other.Name == name {
					name = fmt.Sprintf("%s (legacy %d)", name, w.LegacyId)
				}
			}
			resp.Results = append(resp.Results, k.take(k.Workspaces, w.LegacyId, Object{Name: name}))
		}
	})
	return resp, nil
}

func (r *Registry) ImportUsers(_ context.Context, req *tenancyv1.ImportUsersRequest) (*tenancyv1.ImportUsersResponse, error) {
	resp := &tenancyv1.ImportUsersResponse{}
	r.change(req.ValidateOnly, func(k *Registered) {
		for _, u := range req.Users {
			resp.Results = append(resp.Results, k.take(k.Users, u.LegacyId, Object{Name: u.DisplayName, Email: u.Email}))
		}
	})
	return resp, nil
}

func (r *Registry) ImportTenants(_ context.Context, req *tenancyv1.ImportTenantsRequest) (*tenancyv1.ImportTenantsResponse, error) {
	resp := &tenancyv1.ImportTenantsResponse{}
	r.change(req.ValidateOnly, func(k *Registered) {
		for _, t := range req.Tenants {
			workspace := k.Workspaces[t.GetLegacyWorkspaceId()]
			if workspace.ID == 0 && req.ValidateOnly {
				workspace.ID = -t.GetLegacyWorkspaceId()
			}
			if err := k.refuseTenant(t, workspace.ID); err != nil {
				resp.Results = append(resp.Results, &tenancyv1.ImportResult{LegacyId: t.LegacyId, Error: refused(err)})
				continue
			}
			resp.Results = append(resp.Results, k.take(k.Tenants, t.LegacyId,
				Object{Name: t.DisplayName, WorkspaceID: workspace.ID, Directory: strings.ToLower(t.DirectoryId)}))
		}
	})
	return resp, nil
}

func (k *Registered) refuseTenant(t *tenancyv1.LegacyTenant, workspaceID int64) *errs.Error {
	before, known := k.Tenants[t.LegacyId]
	switch {
	case workspaceID == 0:
		return errs.Invalid("legacy_workspace_id", "is not imported")
	case known && before.WorkspaceID != workspaceID:
		return errs.Conflict("LEGACY_ID_ELSEWHERE", "the tenant was imported into workspace %d before", before.WorkspaceID)
	case known:
		return nil
	case len(t.DirectoryId) != 36:
		return errs.Invalid("directory_id", "must be a GUID")
	}
	for legacyID, other := range k.Tenants {
		if other.WorkspaceID == workspaceID && other.Directory == strings.ToLower(t.DirectoryId) {
			return errs.Exists("TENANT_EXISTS", "the workspace has a tenant of that directory").
				With("tenant_id", strconv.FormatInt(other.ID, 10)).With("legacy_id", strconv.FormatInt(legacyID, 10))
		}
	}
	return nil
}

func (r *Registry) ImportMembers(_ context.Context, req *tenancyv1.ImportMembersRequest) (*tenancyv1.ImportMembersResponse, error) {
	resp := &tenancyv1.ImportMembersResponse{}
	r.change(req.ValidateOnly, func(k *Registered) {
		for _, m := range req.Members {
			who := [2]int64{m.LegacyWorkspaceId, m.LegacyUserId}
			result := &tenancyv1.ImportMemberResult{LegacyWorkspaceId: who[0], LegacyUserId: who[1], Outcome: tenancyv1.ImportOutcome_IMPORT_OUTCOME_FOUND}
			if k.Members[who] == 0 {
				result.Outcome = tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED
			}
			k.Members[who] = cmp.Or(k.Members[who], m.Role)
			result.Role = k.Members[who]
			resp.Results = append(resp.Results, result)
		}
	})
	return resp, nil
}
