package adopt

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	grpcstatus "google.golang.org/grpc/status"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

const (
	importBatch    = 500 // the most items that one call takes
	importDeadline = time.Minute
)

// inBatches sends items in batches, and returns the result of each, in order.
func inBatches[T, R any](ctx context.Context, items []T, send func(context.Context, []T) ([]R, error)) ([]R, error) {
	var all []R
	for batch := range slices.Chunk(items, importBatch) {
		ctx, cancel := context.WithTimeout(ctx, importDeadline)
		results, err := send(ctx, batch)
		cancel()
		if err != nil {
			return nil, err
		}
		if len(results) != len(batch) {
			return nil, fmt.Errorf("tenancy returned %d results for %d items", len(results), len(batch))
		}
		all = append(all, results...)
	}
	return all, nil
}

// tally counts the results of one kind of object.
type tally struct {
	kind                                  string
	made, found, adopted, merged, refused int
	problems, renamed                     []string
}

func (t *tally) count(outcome tenancyv1.ImportOutcome) {
	switch outcome {
	case tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED:
		t.made++
	case tenancyv1.ImportOutcome_IMPORT_OUTCOME_ADOPTED:
		t.adopted++
	default:
		t.found++
	}
}

func (t *tally) refuse(who string, err error) {
	t.refused++
	t.problems = append(t.problems, fmt.Sprintf("%s %s: %s", t.kind, who, sentence(err)))
}

func sentence(err error) string {
	if e, ok := errs.As(err); ok {
		return e.Message()
	}
	return err.Error()
}

// itemError returns the error of one item, or nil.
func itemError(s *status.Status) error {
	if s == nil {
		return nil
	}
	return errs.FromStatus(grpcstatus.ErrorProto(s))
}

// sendPeople sends everybody to tenancy, in the order in which they need each other. A
// rehearsal writes nothing, and a refused item is a check that does not hold; else it is
// an error.
func (a *adoption) sendPeople(ctx context.Context, rehearse bool) error {
	var all []*tally
	for _, send := range []func(context.Context, bool) (*tally, error){a.sendWorkspaces, a.sendUsers, a.sendTenants, a.sendMembers} {
		t, err := send(ctx, rehearse)
		if err != nil {
			return fmt.Errorf("import into tenancy: %w", err)
		}
		all = append(all, t)
	}
	if rehearse && !a.o.Plan {
		return a.checkPeople(all)
	}
	table := a.r.Table("Workspaces, users, tenants and members", "kind", "made", "here already", "made here before", "same as another", "refused")
	for _, t := range all {
		table.Row(t.kind, t.made, t.found, t.adopted, t.merged, t.refused)
	}
	if rehearse {
		return a.checkPeople(all)
	}
	for _, t := range all {
		if t.refused > 0 {
			return fmt.Errorf("tenancy refuses %s", report.List(t.problems))
		}
	}
	return nil
}

func (a *adoption) checkPeople(all []*tally) error {
	var problems []string
	for _, t := range all {
		problems = append(problems, t.problems...)
		a.r.Find(report.Finding{
			Code: "renamed", Source: t.kind, Count: int64(len(t.renamed)), Samples: report.Some(t.renamed),
			Message: "names that tenancy has to change",
		})
	}
	a.r.Check("tenancy accepts everybody", len(problems) == 0, "refused: %s", report.List(problems))
	return nil
}

// settle counts the results of items, and returns the new ids of those that tenancy has.
func (t *tally) settle(results []*tenancyv1.ImportResult, names []string) map[int64]int64 {
	ids := map[int64]int64{}
	for i, r := range results {
		if err := itemError(r.Error); err != nil {
			t.refuse(fmt.Sprintf("%d (%s)", r.LegacyId, names[i]), err)
			continue
		}
		t.count(r.Outcome)
		t.rename(r, names[i])
		ids[r.LegacyId] = r.Id
	}
	return ids
}

func (t *tally) rename(r *tenancyv1.ImportResult, asked string) {
	if r.Outcome == tenancyv1.ImportOutcome_IMPORT_OUTCOME_CREATED && r.DisplayName != asked {
		t.renamed = append(t.renamed, fmt.Sprintf("%d: %s becomes %s", r.LegacyId, asked, r.DisplayName))
	}
}

func (a *adoption) sendWorkspaces(ctx context.Context, rehearse bool) (*tally, error) {
	var names []string
	results, err := inBatches(ctx, a.people.workspaces, func(ctx context.Context, batch []legacyWorkspace) ([]*tenancyv1.ImportResult, error) {
		req := &tenancyv1.ImportWorkspacesRequest{ValidateOnly: rehearse}
		for _, w := range batch {
			names = append(names, w.Name)
			req.Workspaces = append(req.Workspaces, &tenancyv1.LegacyWorkspace{LegacyId: w.ID, DisplayName: w.Name})
		}
		resp, err := a.tenancy.ImportWorkspaces(ctx, req)
		return resp.GetResults(), err
	})
	t := &tally{kind: "workspace"}
	a.people.workspaceIDs = t.settle(results, names)
	return t, err
}

func (a *adoption) sendUsers(ctx context.Context, rehearse bool) (*tally, error) {
	var names []string
	results, err := inBatches(ctx, a.people.users, func(ctx context.Context, batch []legacyUser) ([]*tenancyv1.ImportResult, error) {
		req := &tenancyv1.ImportUsersRequest{ValidateOnly: rehearse}
		for _, u := range batch {
			names = append(names, u.Name)
			req.Users = append(req.Users, &tenancyv1.LegacyUser{LegacyId: u.ID, DisplayName: u.Name, Email: u.Email})
		}
		resp, err := a.tenancy.ImportUsers(ctx, req)
		return resp.GetResults(), err
	})
	t := &tally{kind: "user"}
	a.people.userIDs = t.settle(results, names)
	return t, err
}

// sendTenants leaves out tenants without a workspace: either a check has failed because of
// them, or an earlier call has given them one.
func (a *adoption) sendTenants(ctx context.Context, rehearse bool) (*tally, error) {
	tenants := slices.DeleteFunc(slices.Clone(a.people.tenants), func(t legacyTenant) bool { return t.WorkspaceID == 0 })
	results, err := inBatches(ctx, tenants, func(ctx context.Context, batch []legacyTenant) ([]*tenancyv1.ImportResult, error) {
		req := &tenancyv1.ImportTenantsRequest{ValidateOnly: rehearse}
		for _, t := range batch {
			req.Tenants = append(req.Tenants, &tenancyv1.LegacyTenant{
				LegacyId: t.ID, Workspace: &tenancyv1.LegacyTenant_LegacyWorkspaceId{LegacyWorkspaceId: t.WorkspaceID},
				DisplayName: t.Name, DirectoryId: t.DirectoryID, PrimaryDomain: t.Domain,
			})
		}
		resp, err := a.tenancy.ImportTenants(ctx, req)
		return resp.GetResults(), err
	})
	return a.settleTenants(tenants, results, rehearse), err
}

func (a *adoption) settleTenants(tenants []legacyTenant, results []*tenancyv1.ImportResult, rehearse bool) *tally {
	t := &tally{kind: "tenant"}
	a.people.tenantIDs = map[int64]tenantHere{}
	var merged, moved []string
	for i, r := range results {
		tenant, err := tenants[i], itemError(r.Error)
		here := tenantHere{id: r.Id, workspaceID: a.people.workspaceIDs[tenant.WorkspaceID]}
		switch twin := twinOf(err); {
		case err == nil:
			t.count(r.Outcome)
			t.rename(r, tenant.Name)
			a.people.tenantIDs[tenant.ID] = here
		case twin != 0: // a workspace has one tenant for a directory
			t.merged++
			here.id = twin
			a.people.tenantIDs[tenant.ID] = here
			merged = append(merged, fmt.Sprint(tenant.ID))
		case errs.HasReason(err, tenancyv1.TenancyReason_TENANCY_REASON_LEGACY_ID_ELSEWHERE) && tenant.Imported:
			t.found++
			moved = append(moved, fmt.Sprint(tenant.ID))
		default:
			t.refuse(fmt.Sprintf("%d (%s)", tenant.ID, tenant.Name), err)
		}
	}
	if rehearse {
		a.reportTenants(merged, moved)
	}
	return t
}

func (a *adoption) reportTenants(merged, moved []string) {
	a.r.Find(report.Finding{
		Code: "same_directory", Source: "tenants", Count: int64(len(merged)), Samples: report.Some(merged),
		Message: "tenants of the same directory and workspace as an earlier one: they become one tenant",
	})
	a.r.Find(report.Finding{
		Code: "tenant_moved", Source: "tenants", Count: int64(len(moved)), Samples: report.Some(moved),
		Message: "tenants that have moved to another workspace since they were imported: they stay where they are here",
	})
}

// twinOf returns the id of the tenant that has the directory already, 0 if err is another
// error.
func twinOf(err error) int64 {
	e, ok := errs.As(err)
	if !ok || !errs.HasReason(e, tenancyv1.TenancyReason_TENANCY_REASON_TENANT_EXISTS) {
		return 0
	}
	id, _ := strconv.ParseInt(e.Metadata()["tenant_id"], 10, 64) // 0 if the name is taken, and not the directory
	return id
}

var roles = map[string]tenancyv1.Role{
	"readonly": tenancyv1.Role_ROLE_READONLY, "operator": tenancyv1.Role_ROLE_OPERATOR,
	"manager": tenancyv1.Role_ROLE_MANAGER, "owner": tenancyv1.Role_ROLE_OWNER,
}

func (a *adoption) sendMembers(ctx context.Context, rehearse bool) (*tally, error) {
	members := a.people.members
	results, err := inBatches(ctx, members, func(ctx context.Context, batch []legacyMember) ([]*tenancyv1.ImportMemberResult, error) {
		req := &tenancyv1.ImportMembersRequest{ValidateOnly: rehearse}
		for _, m := range batch {
			req.Members = append(req.Members, &tenancyv1.LegacyMember{LegacyWorkspaceId: m.WorkspaceID, LegacyUserId: m.UserID, Role: roles[m.Role]})
		}
		resp, err := a.tenancy.ImportMembers(ctx, req)
		return resp.GetResults(), err
	})
	t := &tally{kind: "member"}
	var claimed []string
	for i, r := range results {
		who := fmt.Sprintf("user %d of workspace %d", members[i].UserID, members[i].WorkspaceID)
		switch err := itemError(r.Error); {
		case err == nil:
			t.count(r.Outcome)
		case errs.HasReason(err, tenancyv1.TenancyReason_TENANCY_REASON_USER_CLAIMED):
			t.found++
			claimed = append(claimed, who)
		default:
			t.refuse(who, err)
		}
	}
	if rehearse {
		a.r.Find(report.Finding{
			Code: "claimed_user", Source: "workspace_memberships", Count: int64(len(claimed)), Samples: report.Some(claimed),
			Message: "members who have claimed an identity since: an owner of the workspace adds them",
		})
	}
	return t, err
}
