package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func (w *world) takeover(t *testing.T) clients { return newClients(w.svc.Dial(t, "takeover")) }

// said is what became of items, a line each: "17 created Contoso (legacy 17)",
// "18 refused TENANT_EXISTS directory_id".
func said(results []*tenancyv1.ImportResult) (lines []string) {
	for _, r := range results {
		what := fmt.Sprintf("%s %s", outcome(r.Outcome), r.DisplayName)
		if r.Error != nil {
			what = refusal(r.Error)
		}
		lines = append(lines, fmt.Sprintf("%d %s", r.LegacyId, what))
	}
	return lines
}

func outcome(o tenancyv1.ImportOutcome) string {
	return strings.ToLower(strings.TrimPrefix(o.String(), "IMPORT_OUTCOME_"))
}

func refusal(s *statusv1.Status) string {
	e, _ := errs.As(errs.FromStatus(status.ErrorProto(s)))
	at := e.Metadata()["field"]
	for _, f := range e.Fields() {
		at = f.Path
	}
	return fmt.Sprintf("refused %s %s", e.Reason(), at)
}

// ids are the ids here of imported objects, by legacy id.
func ids(results []*tenancyv1.ImportResult) map[int64]int64 {
	found := map[int64]int64{}
	for _, r := range results {
		found[r.LegacyId] = r.Id
	}
	return found
}

func workspaces(w ...*tenancyv1.LegacyWorkspace) *tenancyv1.ImportWorkspacesRequest {
	return &tenancyv1.ImportWorkspacesRequest{Workspaces: w}
}

func users(u ...*tenancyv1.LegacyUser) *tenancyv1.ImportUsersRequest {
	return &tenancyv1.ImportUsersRequest{Users: u}
}

func TestImportWorkspaces(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	ask := workspaces(
		&tenancyv1.LegacyWorkspace{LegacyId: 17, DisplayName: "Contoso"},
		&tenancyv1.LegacyWorkspace{LegacyId: 4, DisplayName: " Northwind\tTraders "},
		&tenancyv1.LegacyWorkspace{LegacyId: 3, DisplayName: "Northwind Traders"},
		&tenancyv1.LegacyWorkspace{LegacyId: 0, DisplayName: "Nameless"},
		&tenancyv1.LegacyWorkspace{LegacyId: 9, DisplayName: "  "},
		&tenancyv1.LegacyWorkspace{LegacyId: 4, DisplayName: "said twice"},
		&tenancyv1.LegacyWorkspace{LegacyId: 5, DisplayName: strings.Repeat("ž", 300)},
	)
	first, err := tool.ImportWorkspaces(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, []string{
		"17 created Contoso (legacy 17)",
		"4 created Northwind Traders",
		"3 created Northwind Traders (legacy 3)",
		"0 refused INVALID_FIELD legacy_id",
		"9 created Workspace (legacy 9)",
		"4 found Northwind Traders",
		"5 created " + strings.Repeat("ž", 200),
	}, said(first.Results))
	require.Equal(t, first.Results[1].Id, first.Results[5].Id)

	for range 2 {
		again, err := tool.ImportWorkspaces(t.Context(), ask)
		require.NoError(t, err)
		require.Equal(t, ids(first.Results), ids(again.Results))
		require.Equal(t, "17 found Contoso (legacy 17)", said(again.Results)[0])
	}
	require.Equal(t, []string{"workspace.create", "workspace.import", "workspace.import", "workspace.import", "workspace.import", "workspace.import"}, w.audited(t))
	got, err := w.operator.GetWorkspace(t.Context(), &tenancyv1.GetWorkspaceRequest{WorkspaceId: first.Results[0].Id})
	require.NoError(t, err)
	require.Equal(t, "Contoso (legacy 17)", got.Workspace.DisplayName)
}

// A name that people took on purpose is not taken from them.
func TestImportIntoTakenNames(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.found(t, "Contoso (legacy 17)")
	resp, err := w.takeover(t).ImportWorkspaces(t.Context(), workspaces(
		&tenancyv1.LegacyWorkspace{LegacyId: 17, DisplayName: "Contoso"}, &tenancyv1.LegacyWorkspace{LegacyId: 18, DisplayName: "Contoso"},
	))
	require.NoError(t, err)
	require.Equal(t, []string{"17 refused WORKSPACE_EXISTS display_name", "18 created Contoso (legacy 18)"}, said(resp.Results))
}

// An e-mail address gives nobody anything: not to the imported user what is
// here, nor to anybody here what is imported.
func TestImportedEmailIsNobody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	resp, err := tool.ImportUsers(t.Context(), users(
		&tenancyv1.LegacyUser{LegacyId: 1, DisplayName: "Contoso owner", Email: w.owner.Email},
		&tenancyv1.LegacyUser{LegacyId: 2, DisplayName: "Contoso owner", Email: w.owner.Email},
		&tenancyv1.LegacyUser{LegacyId: 3, Email: strings.Repeat("e", 321)},
	))
	require.NoError(t, err)
	require.Equal(t, []string{"1 created Contoso owner", "2 created Contoso owner", "3 refused INVALID_FIELD email"}, said(resp.Results))
	id := resp.Results[0].Id
	require.NotEqual(t, w.owner.Id, id)
	require.NotEqual(t, resp.Results[1].Id, id)

	_, err = w.operator.CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{WorkspaceId: w.workspace.Id, DisplayName: "ci", UserId: &id})
	refused(t, err, codes.NotFound, "NOT_FOUND") // no member, though the owner of that address is one

	made, err := w.operator.AddMember(t.Context(), &tenancyv1.AddMemberRequest{
		WorkspaceId: w.workspace.Id, DisplayName: "Contoso owner", Email: w.owner.Email, Role: tenancyv1.Role_ROLE_READONLY,
	})
	require.NoError(t, err)
	require.NotEqual(t, id, made.Member.UserId, "a user made here is not the imported one of the same address")
	require.Nil(t, made.Member.LegacyId)
	again, err := tool.ImportUsers(t.Context(), users(&tenancyv1.LegacyUser{LegacyId: 1, DisplayName: "Other", Email: "other@contoso.example"}))
	require.NoError(t, err)
	require.Equal(t, []string{"1 found Contoso owner"}, said(again.Results))
	require.Equal(t, id, again.Results[0].Id)
	var audited int
	require.NoError(t, w.db.Pool.QueryRow(t.Context(),
		"select count(*) from audit_event where action = 'user.import' and service = 'takeover' and workspace_id is null").Scan(&audited))
	require.Equal(t, 2, audited)
}

func TestImportTooMuch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // more than a call has by default
	defer cancel()
	many := make([]*tenancyv1.LegacyUser, 501)
	for i := range many {
		many[i] = &tenancyv1.LegacyUser{LegacyId: int64(i + 1), DisplayName: "U"}
	}
	for _, batch := range [][]*tenancyv1.LegacyUser{nil, many} {
		_, err := tool.ImportUsers(t.Context(), users(batch...))
		require.Equal(t, "users", refused(t, err, codes.InvalidArgument, "INVALID_FIELD").Fields()[0].Path)
	}
	resp, err := tool.ImportUsers(ctx, users(many[:500]...))
	require.NoError(t, err)
	require.Len(t, resp.Results, 500)
}

func TestImportsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	batch := make([]*tenancyv1.LegacyWorkspace, 50)
	for i := range batch {
		batch[i] = &tenancyv1.LegacyWorkspace{LegacyId: int64(i + 1), DisplayName: "Same"}
	}
	last := twenty(t, func() (int64, error) {
		resp, err := tool.ImportWorkspaces(t.Context(), workspaces(batch...))
		return ids(resp.GetResults())[50], err
	})
	require.Len(t, last, 1)
	require.Len(t, w.audited(t), 51)
}

// A lost answer is asked for again by the client itself.
func TestImportLostReply(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.svc.LoseReply(1, "ImportUsers")
	resp, err := w.takeover(t).ImportUsers(t.Context(), users(&tenancyv1.LegacyUser{LegacyId: 1, DisplayName: "Ada"}))
	require.NoError(t, err)
	require.Equal(t, []string{"1 found Ada"}, said(resp.Results))
}

// An import that ends in the middle has done nothing, and can be said again.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	blocker, err := w.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer blocker.Rollback(context.Background())
	_, err = blocker.Exec(t.Context(), "insert into workspace (display_name) values ('Two')")
	require.NoError(t, err)

	ask := workspaces(&tenancyv1.LegacyWorkspace{LegacyId: 1, DisplayName: "One"}, &tenancyv1.LegacyWorkspace{LegacyId: 2, DisplayName: "Two"})
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := tool.ImportWorkspaces(ctx, ask)
		ended <- err
	}()
	waiting := func() (waits bool) {
		const sql = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
		assert.NoError(t, w.db.Pool.QueryRow(t.Context(), sql).Scan(&waits))
		return waits
	}
	require.Eventually(t, waiting, 30*time.Second, 5*time.Millisecond, "waits in the middle of its batch")
	interrupt()
	require.Equal(t, codes.Canceled, errs.Code(<-ended))
	// The caller knows it sooner than the database does.
	require.Eventually(t, func() bool { return !waiting() }, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, blocker.Rollback(t.Context()))

	resp, err := tool.ImportWorkspaces(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, []string{"1 created One", "2 created Two"}, said(resp.Results))
}

// everything is the content of every table, to see that nothing was written.
func (w *world) everything(t *testing.T) (all string) {
	t.Helper()
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), `select concat_ws(e'\n',
		(select string_agg(r::text, e'\n' order by r.id) from workspace r), (select string_agg(r::text, e'\n' order by r.id) from app_user r),
		(select string_agg(r::text, e'\n' order by r.id) from tenant r), (select string_agg(r::text, e'\n' order by r.id) from audit_event r),
		(select string_agg(r::text, e'\n' order by r::text) from member r), (select string_agg(r::text, e'\n' order by r::text) from imported_member r))`).Scan(&all))
	return all
}

// A whole installation is rehearsed before any of it is here.
func TestImportValidateOnly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tool := w.takeover(t)
	before := w.everything(t)
	ws := workspaces(&tenancyv1.LegacyWorkspace{LegacyId: 7, DisplayName: "Contoso"}, &tenancyv1.LegacyWorkspace{LegacyId: -1})
	us := users(&tenancyv1.LegacyUser{LegacyId: 1, DisplayName: "Ada"})
	in := &tenancyv1.LegacyTenant_LegacyWorkspaceId{LegacyWorkspaceId: 7}
	ts := &tenancyv1.ImportTenantsRequest{Tenants: []*tenancyv1.LegacyTenant{
		{LegacyId: 1, Workspace: in, DisplayName: "Fabrikam", DirectoryId: directory},
		{LegacyId: 2, Workspace: in, DisplayName: "Fabrikam", DirectoryId: directory},
		{LegacyId: 3, Workspace: in, DisplayName: "Fabrikam", DirectoryId: "x"},
	}}
	ms := members(&tenancyv1.LegacyMember{LegacyWorkspaceId: 7, LegacyUserId: 1, Role: tenancyv1.Role_ROLE_OWNER})
	all := func(validateOnly bool) (lines []string, made []int64) {
		ws.ValidateOnly, us.ValidateOnly, ts.ValidateOnly, ms.ValidateOnly = validateOnly, validateOnly, validateOnly, validateOnly
		a, err := tool.ImportWorkspaces(t.Context(), ws)
		require.NoError(t, err)
		b, err := tool.ImportUsers(t.Context(), us)
		require.NoError(t, err)
		c, err := tool.ImportTenants(t.Context(), ts)
		require.NoError(t, err)
		d, err := tool.ImportMembers(t.Context(), ms)
		require.NoError(t, err)
		lines = append(append(append(said(a.Results), said(b.Results)...), said(c.Results)...), joined(d.Results)...)
		return lines, []int64{a.Results[0].Id, b.Results[0].Id, c.Results[0].Id, d.Results[0].WorkspaceId, d.Results[0].UserId}
	}
	rehearsed, made := all(true)
	require.Equal(t, []string{
		"7 created Contoso (legacy 7)", "-1 refused INVALID_FIELD legacy_id", "1 created Ada",
		"1 created Fabrikam", "2 refused TENANT_EXISTS directory_id", "3 refused INVALID_FIELD directory_id",
		"7/1 created ROLE_OWNER",
	}, rehearsed)
	require.Equal(t, make([]int64, 5), made, "what is not here has no id")
	require.Equal(t, before, w.everything(t))

	done, made := all(false)
	require.Equal(t, rehearsed, done)
	after := w.everything(t)
	again, found := all(true)
	require.Equal(t, made, found)
	require.Equal(t, strings.ReplaceAll(strings.Join(done, "\n"), "created", "found"), strings.Join(again, "\n"))
	require.Equal(t, after, w.everything(t))
}

// The certificate is the only way in: not even the platform's operator imports.
func TestImportIsForTheToolOnly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, c := range []clients{w.operator, w.as(t, w.owner.Id, actor.Owner), w.gateway(t)} {
		_, err := c.ImportUsers(t.Context(), users(&tenancyv1.LegacyUser{LegacyId: 1, DisplayName: "Ada"}))
		refused(t, err, codes.PermissionDenied, "CALLER_NOT_PERMITTED")
	}
	_, err := w.takeover(t).ListWorkspaces(t.Context(), &tenancyv1.ListWorkspacesRequest{})
	refused(t, err, codes.PermissionDenied, "CALLER_NOT_PERMITTED")
}
