package takeover

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

// registry is tenancy in memory, as far as a takeover knows it: the same answers
// for the same legacy ids.
type registry struct {
	tenancyv1.UnsafeImportServiceServer
	mu    sync.Mutex
	known registered
}

type registered struct {
	last       int64
	workspaces map[int64]object // by legacy id, as the others
	users      map[int64]object
	tenants    map[int64]object
	members    map[[2]int64]tenancyv1.Role
}

type object struct {
	id          int64
	name, email string
	workspaceID int64
	directory   string
}

func newRegistry(first int64) *registry {
	return &registry{known: registered{
		last: first - 1, workspaces: map[int64]object{}, users: map[int64]object{}, tenants: map[int64]object{}, members: map[[2]int64]tenancyv1.Role{},
	}}
}

// serve answers a client of r, as the takeover.
func (r *registry) serve(t *testing.T) (*rpctest.Service, tenancyv1.ImportServiceClient) {
	t.Helper()
	svc := rpctest.Serve(t, "tenancy", func(s grpc.ServiceRegistrar) { tenancyv1.RegisterImportServiceServer(s, r) })
	return svc, tenancyv1.NewImportServiceClient(svc.Dial(t, "takeover"))
}

// change lets do change what is known, and forgets it if it was a rehearsal.
func (r *registry) change(rehearsal bool, do func(*registered)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.known
	if rehearsal {
		r.known = registered{before.last, maps.Clone(before.workspaces), maps.Clone(before.users), maps.Clone(before.tenants), maps.Clone(before.members)}
	}
	do(&r.known)
	if rehearsal {
		r.known = before
	}
}

func (k *registered) take(in map[int64]object, legacyID int64, o object) *tenancyv1.ImportResult {
	outcome := tenancyv1.ImportOutcome_IMPORT_OUTCOME_FOUND
	if _, ok := in[legacyID]; !ok {
		outcome = tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED
		k.last++
		o.id = k.last
		in[legacyID] = o
	}
	return &tenancyv1.ImportResult{LegacyId: legacyID, Id: in[legacyID].id, Outcome: outcome, DisplayName: in[legacyID].name}
}

func refused(err *errs.Error) *status.Status { return err.GRPCStatus().Proto() }

func (r *registry) ImportWorkspaces(_ context.Context, req *tenancyv1.ImportWorkspacesRequest) (*tenancyv1.ImportWorkspacesResponse, error) {
	resp := &tenancyv1.ImportWorkspacesResponse{}
	r.change(req.ValidateOnly, func(k *registered) {
		for _, w := range req.Workspaces {
			name := w.DisplayName
			for id, other := range k.workspaces {
				if id != w.LegacyId && other.name == name {
					name = fmt.Sprintf("%s (legacy %d)", name, w.LegacyId)
				}
			}
			resp.Results = append(resp.Results, k.take(k.workspaces, w.LegacyId, object{name: name}))
		}
	})
	return resp, nil
}

func (r *registry) ImportUsers(_ context.Context, req *tenancyv1.ImportUsersRequest) (*tenancyv1.ImportUsersResponse, error) {
	resp := &tenancyv1.ImportUsersResponse{}
	r.change(req.ValidateOnly, func(k *registered) {
		for _, u := range req.Users {
			resp.Results = append(resp.Results, k.take(k.users, u.LegacyId, object{name: u.DisplayName, email: u.Email}))
		}
	})
	return resp, nil
}

func (r *registry) ImportTenants(_ context.Context, req *tenancyv1.ImportTenantsRequest) (*tenancyv1.ImportTenantsResponse, error) {
	resp := &tenancyv1.ImportTenantsResponse{}
	r.change(req.ValidateOnly, func(k *registered) {
		for _, t := range req.Tenants {
			workspace := k.workspaces[t.GetLegacyWorkspaceId()]
			if workspace.id == 0 && req.ValidateOnly {
				workspace.id = -t.GetLegacyWorkspaceId()
			}
			if err := k.refuseTenant(t, workspace.id); err != nil {
				resp.Results = append(resp.Results, &tenancyv1.ImportResult{LegacyId: t.LegacyId, Error: refused(err)})
				continue
			}
			resp.Results = append(resp.Results, k.take(k.tenants, t.LegacyId,
				object{name: t.DisplayName, workspaceID: workspace.id, directory: strings.ToLower(t.DirectoryId)}))
		}
	})
	return resp, nil
}

func (k *registered) refuseTenant(t *tenancyv1.LegacyTenant, workspaceID int64) *errs.Error {
	before, known := k.tenants[t.LegacyId]
	switch {
	case workspaceID == 0:
		return errs.Invalid("legacy_workspace_id", "is not imported")
	case known && before.workspaceID != workspaceID:
		return errs.Conflict("LEGACY_ID_ELSEWHERE", "the tenant was imported into workspace %d before", before.workspaceID)
	case known:
		return nil
	case len(t.DirectoryId) != 36:
		return errs.Invalid("directory_id", "must be a GUID")
	}
	for legacyID, other := range k.tenants {
		if other.workspaceID == workspaceID && other.directory == strings.ToLower(t.DirectoryId) {
			return errs.Exists("TENANT_EXISTS", "the workspace has a tenant of that directory").
				With("tenant_id", strconv.FormatInt(other.id, 10)).With("legacy_id", strconv.FormatInt(legacyID, 10))
		}
	}
	return nil
}

func (r *registry) ImportMembers(_ context.Context, req *tenancyv1.ImportMembersRequest) (*tenancyv1.ImportMembersResponse, error) {
	resp := &tenancyv1.ImportMembersResponse{}
	r.change(req.ValidateOnly, func(k *registered) {
		for _, m := range req.Members {
			who := [2]int64{m.LegacyWorkspaceId, m.LegacyUserId}
			result := &tenancyv1.ImportMemberResult{LegacyWorkspaceId: who[0], LegacyUserId: who[1], Outcome: tenancyv1.ImportOutcome_IMPORT_OUTCOME_FOUND}
			if k.members[who] == 0 {
				result.Outcome = tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED
			}
			k.members[who] = cmp.Or(k.members[who], m.Role)
			result.Role = k.members[who]
			resp.Results = append(resp.Results, result)
		}
	})
	return resp, nil
}
