package console

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console/templates"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// listPage lists the runs of one workspace. The address says which workspace, and
// every filter.
func (c *Console) listPage(w http.ResponseWriter, r *http.Request, who web.Caller) error {
	workspace, err := chosenWorkspace(r, who)
	if err != nil {
		return err
	}
	shell, err := c.shellFor(r, who, "Operations", workspace)
	if err != nil {
		return err
	}
	if workspace == 0 {
		c.pages.render(w, r, http.StatusOK, templates.ChooserPage(shell))
		return nil
	}
	l := list{console: c, workspace: workspace, shell: shell, query: r.URL.Query()}
	view, err := l.view(r, who)
	if err != nil {
		return err
	}
	c.pages.render(w, r, http.StatusOK, templates.OperationsPage(view))
	return nil
}

// chosenWorkspace returns the workspace that the address names. If it names none,
// that is the user's only workspace, or 0 if the user must choose. A workspace that
// the user is not a member of is not found.
func chosenWorkspace(r *http.Request, who web.Caller) (int64, error) {
	asked := r.URL.Query().Get("workspace")
	if asked == "" {
		if len(who.Memberships) == 1 {
			return who.Memberships[0].WorkspaceID, nil
		}
		return 0, nil
	}
	return memberWorkspace(asked, who)
}

// memberWorkspace reads the id of a workspace that who is a member of.
func memberWorkspace(asked string, who web.Caller) (int64, error) {
	workspace, ok := web.ParseID(asked)
	if _, member := who.Role(workspace); !ok || !member {
		return 0, errs.NotFound("workspace")
	}
	return workspace, nil
}

// list makes the page of one request for the list of runs.
type list struct {
	console   *Console
	workspace int64
	shell     templates.Shell
	query     url.Values
}

func (l list) view(r *http.Request, who web.Caller) (templates.Operations, error) {
	tenants, err := l.console.tenantsOf(r.Context(), l.workspace)
	if err != nil {
		return templates.Operations{}, err
	}
	types, err := l.console.typesOfRuns(r.Context())
	if err != nil {
		return templates.Operations{}, err
	}
	filters := l.filters(tenants, types)
	expression, err := filterOf(filters, l.query)
	if err != nil {
		return templates.Operations{}, err
	}
	page, err := l.console.runs.ListRuns(r.Context(), &operationsv1.ListRunsRequest{
		WorkspaceId: l.workspace, PageSize: 50, PageToken: l.query.Get("page_token"), Filter: expression,
	})
	if err != nil {
		return templates.Operations{}, err
	}
	v := templates.Operations{Shell: l.shell, Filters: filters, Filtered: expression != ""}
	for _, run := range page.GetRuns() {
		v.Rows = append(v.Rows, l.row(run, tenants, types))
	}
	v.Next, v.First = l.pages(page.GetNextPageToken())
	if role, _ := who.Role(l.workspace); role.Allows(actor.Operate) {
		v.Sync = &templates.SyncForm{Type: inventorySync, Tenants: tenants.options(), Typed: tenants.cut, RequestID: rand.Text()}
	}
	return v, nil
}

// pages returns the address of the next page, and that of the first page unless this
// is the first.
func (l list) pages(next string) (older, first string) {
	q := url.Values{}
	for _, name := range append([]string{"workspace"}, filterNames()...) {
		if v := l.query.Get(name); v != "" {
			q.Set(name, v)
		}
	}
	address := func() string {
		if len(q) == 0 {
			return "/operations"
		}
		return "/operations?" + q.Encode()
	}
	if l.query.Get("page_token") != "" {
		first = address()
	}
	if next != "" {
		q.Set("page_token", next)
		older = address()
	}
	return older, first
}

func (l list) row(run *operationsv1.Run, tenants, types choices) templates.RunRow {
	now := l.console.site.Now()
	row := templates.RunRow{
		ID: words.ID(run.GetId()), Badge: words.BadgeOf(run), Type: types.label(run.GetType()), Active: words.Active(run),
		Initiator: run.GetInitiatorName(), Progress: words.ProgressOf(run), Started: words.At(run.GetStartTime(), now),
		Duration: words.DurationOf(run, now), Attempt: words.ID(int64(run.GetAttempt())), Tenant: "–",
	}
	if words.Imported(run) {
		row.Attempt = "–"
	}
	if run.TenantId != nil {
		row.Tenant = tenants.label(words.ID(run.GetTenantId()))
	}
	if failed, ok := run.GetSummaryCounts()["failed"]; ok {
		row.Failures = words.Number(failed)
	}
	return row
}

func (l list) filters(tenants, types choices) []templates.Filter {
	choose := func(name, label, all string, options []templates.Option) templates.Filter {
		asked := l.query.Get(name)
		options = append([]templates.Option{{Label: all}}, options...)
		for i := range options {
			options[i].Chosen = options[i].Value == asked
		}
		return templates.Filter{Name: name, Label: label, Value: asked, Options: options}
	}
	tenant := choose("tenant", "Tenant", "All", tenants.options())
	tenant.Typed = tenants.cut
	filters := []templates.Filter{
		choose("status", "Status", "Any", []templates.Option{
			{Value: "queued", Label: "Queued"}, {Value: "running", Label: "Running"}, {Value: "completed", Label: "Completed"}}),
		choose("outcome", "Outcome", "Any", []templates.Option{
			{Value: "succeeded", Label: "Succeeded"}, {Value: "partially_succeeded", Label: "Partly succeeded"},
			{Value: "failed", Label: "Failed"}, {Value: "cancelled", Label: "Cancelled"}}),
		choose("type", "Operation", "All", types.options()),
		tenant,
	}
	for _, k := range relatedKeys() {
		if asked := l.query.Get(k.filter); asked != "" {
			filters = append(filters, templates.Filter{Name: k.filter, Label: k.label, Value: asked, Typed: true})
		}
	}
	return filters
}

// filterNames returns the query parameters that filter the list.
func filterNames() []string {
	names := []string{"status", "outcome", "type", "tenant"}
	for _, k := range relatedKeys() {
		names = append(names, k.filter)
	}
	return names
}

// fieldOf returns the field that a query parameter filters by, under the name that it
// has in operations: "tenant_id" for "tenant".
func fieldOf(name string) string {
	if name == "tenant" {
		return "tenant_id"
	}
	for _, k := range relatedKeys() {
		if k.filter == name {
			return "context." + k.key
		}
	}
	return name
}

// filterOf returns the filter expression of the query, for example
// `status = "completed" AND tenant_id = "5"`. Its error names a value that is not
// among the choices.
func filterOf(filters []templates.Filter, query url.Values) (string, error) {
	var terms []string
	for _, f := range filters {
		asked := query.Get(f.Name)
		if asked == "" {
			continue
		}
		if !offered(f, asked) {
			return "", errs.Invalid(f.Name, "%s is not one of the choices", strconv.Quote(asked))
		}
		terms = append(terms, fieldOf(f.Name)+` = "`+asked+`"`)
	}
	return strings.Join(terms, " AND "), nil
}

// offered reports whether value is among the choices of f. If they are too many to
// list, any id is.
func offered(f templates.Filter, value string) bool {
	if _, ok := web.ParseID(value); f.Typed && ok {
		return true
	}
	for _, o := range f.Options {
		if o.Value == value {
			return true
		}
	}
	return false
}
