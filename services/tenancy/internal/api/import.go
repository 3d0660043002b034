package api

import (
	"context"

	"google.golang.org/protobuf/proto"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// ImportWorkspaces imports workspaces of an older installation.
func (a *API) ImportWorkspaces(ctx context.Context, req *tenancyv1.ImportWorkspacesRequest) (*tenancyv1.ImportWorkspacesResponse, error) {
	results, err := imported(ctx, "ImportWorkspaces", req.GetWorkspaces(), req.GetValidateOnly(), a.Store.ImportWorkspaces,
		func(w *tenancyv1.LegacyWorkspace) store.LegacyWorkspace {
			return store.LegacyWorkspace{LegacyID: w.GetLegacyId(), DisplayName: w.GetDisplayName()}
		})
	return &tenancyv1.ImportWorkspacesResponse{Results: results}, err
}

// ImportUsers imports users. Nobody can act as one of them until the user is claimed.
func (a *API) ImportUsers(ctx context.Context, req *tenancyv1.ImportUsersRequest) (*tenancyv1.ImportUsersResponse, error) {
	results, err := imported(ctx, "ImportUsers", req.GetUsers(), req.GetValidateOnly(), a.Store.ImportUsers,
		func(u *tenancyv1.LegacyUser) store.LegacyUser {
			return store.LegacyUser{LegacyID: u.GetLegacyId(), DisplayName: u.GetDisplayName(), Email: u.GetEmail()}
		})
	return &tenancyv1.ImportUsersResponse{Results: results}, err
}

// ImportTenants imports tenants, without their Graph connections.
func (a *API) ImportTenants(ctx context.Context, req *tenancyv1.ImportTenantsRequest) (*tenancyv1.ImportTenantsResponse, error) {
	results, err := imported(ctx, "ImportTenants", req.GetTenants(), req.GetValidateOnly(), a.Store.ImportTenants,
		func(t *tenancyv1.LegacyTenant) store.LegacyTenant {
			return store.LegacyTenant{
				LegacyID: t.GetLegacyId(), LegacyWorkspaceID: t.GetLegacyWorkspaceId(), WorkspaceID: t.GetWorkspaceId(),
				DisplayName: t.GetDisplayName(), DirectoryID: t.GetDirectoryId(),
				PrimaryDomain: t.GetPrimaryDomain(), Cloud: cloudOf(t.GetNationalCloud()),
			}
		})
	return &tenancyv1.ImportTenantsResponse{Results: results}, err
}

// legacy is a message with an id of the older installation.
type legacy interface {
	proto.Message
	GetLegacyId() int64
}

// imported checks each item by itself, turns the sound ones into what the store
// imports, imports them, and returns a result for each item.
func imported[W legacy, T any](ctx context.Context, method string, items []W, validateOnly bool,
	importAll func(context.Context, workspace.By, bool, []T) ([]store.Imported, []error, error), turn func(W) T,
) ([]*tenancyv1.ImportResult, error) {
	results := make([]*tenancyv1.ImportResult, len(items))
	for i, item := range items {
		results[i] = &tenancyv1.ImportResult{LegacyId: item.GetLegacyId()}
	}
	entries, batch, places := sound(ctx, method, items, turn)
	done, refused, err := importAll(ctx, by(ctx, 0), validateOnly, batch)
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		if entries[i].err = refused[n]; refused[n] != nil {
			continue
		}
		results[i].Id, results[i].DisplayName, results[i].Outcome = done[n].ID, done[n].Name, wireOutcome(done[n].Outcome)
		if validateOnly && done[n].Outcome == workspace.Created {
			results[i].Id = 0
		}
	}
	for i, e := range entries {
		results[i].Error = e.End(e.err)
	}
	return results, nil
}

// entry is one item of a batch, and the error if it is refused.
type entry struct {
	*rpc.Entry
	err error
}

// sound checks each item by the rules of its message. It returns the items that pass
// and their places in the batch.
func sound[W proto.Message, T any](ctx context.Context, method string, items []W, turn func(W) T) (entries []entry, batch []T, places []int) {
	for i, item := range items {
		e := entry{Entry: rpc.BeginEntry(ctx, method, nil)}
		if e.err = e.Check(item); e.err == nil {
			batch, places = append(batch, turn(item)), append(places, i)
		}
		entries = append(entries, e)
	}
	return entries, batch, places
}

// ImportMembers imports memberships.
func (a *API) ImportMembers(ctx context.Context, req *tenancyv1.ImportMembersRequest) (*tenancyv1.ImportMembersResponse, error) {
	results := make([]*tenancyv1.ImportMemberResult, len(req.GetMembers()))
	for i, m := range req.GetMembers() {
		results[i] = &tenancyv1.ImportMemberResult{LegacyWorkspaceId: m.GetLegacyWorkspaceId(), LegacyUserId: m.GetLegacyUserId()}
	}
	entries, batch, places := sound(ctx, "ImportMembers", req.GetMembers(), legacyMember)
	done, refused, err := a.Store.ImportMembers(ctx, by(ctx, 0), req.GetValidateOnly(), batch)
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		if entries[i].err = refused[n]; refused[n] != nil {
			continue
		}
		// In a rehearsal, what is not imported yet has a negative id. It is returned
		// without one.
		results[i].WorkspaceId, results[i].UserId = max(done[n].WorkspaceID, 0), max(done[n].UserID, 0)
		results[i].Role, results[i].Outcome = wireRole(done[n].Role), wireOutcome(done[n].Outcome)
	}
	for i, e := range entries {
		results[i].Error = e.End(e.err)
	}
	return &tenancyv1.ImportMembersResponse{Results: results}, nil
}

func legacyMember(m *tenancyv1.LegacyMember) store.LegacyMember {
	return store.LegacyMember{LegacyWorkspaceID: m.GetLegacyWorkspaceId(), LegacyUserID: m.GetLegacyUserId(), Role: roleOf(m.GetRole())}
}

func wireOutcome(o workspace.Outcome) tenancyv1.ImportOutcome {
	switch o {
	case workspace.Created:
		return tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED
	case workspace.Found:
		return tenancyv1.ImportOutcome_IMPORT_OUTCOME_FOUND
	case workspace.Adopted:
		return tenancyv1.ImportOutcome_IMPORT_OUTCOME_ADOPTED
	}
	return tenancyv1.ImportOutcome_IMPORT_OUTCOME_UNSPECIFIED
}
