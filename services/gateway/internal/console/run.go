package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/a-h/templ"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console/templates"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// runPage shows one run.
func (c *Console) runPage(w http.ResponseWriter, r *http.Request, who web.Caller) error {
	run, err := c.run(r.Context(), r.PathValue("run"))
	if err != nil {
		return err
	}
	view, err := c.viewRun(r, who, run)
	if err != nil {
		return err
	}
	c.pages.render(w, r, http.StatusOK, templates.RunPage(view))
	return nil
}

// run reads the run whose id is in the path. For a malformed id it is not found.
func (c *Console) run(ctx context.Context, path string) (*operationsv1.Run, error) {
	number, ok := web.ParseID(path)
	if !ok {
		return nil, errs.NotFound("run")
	}
	found, err := c.runs.GetRun(ctx, &operationsv1.GetRunRequest{RunId: number})
	return found.GetRun(), err
}

func (c *Console) viewRun(r *http.Request, who web.Caller, run *operationsv1.Run) (templates.Run, error) {
	shell, err := c.shellFor(r, who, "", run.GetWorkspaceId())
	if err != nil {
		return templates.Run{}, err
	}
	types, err := c.typesOfRuns(r.Context())
	if err != nil {
		return templates.Run{}, err
	}
	asked := r.URL.Query().Get("events")
	events, later, err := c.events(r.Context(), run.GetId(), asked)
	if err != nil {
		return templates.Run{}, err
	}
	now := c.site.Now()
	v := templates.Run{
		Shell: shell, ID: words.ID(run.GetId()), Type: types.label(run.GetType()), Workspace: shell.Workspace.Name,
		Initiator: run.GetInitiatorName(), Attempt: words.AttemptOf(run), Created: words.At(run.GetCreateTime(), now),
		Started: words.At(run.GetStartTime(), now), Ended: words.At(run.GetCompleteTime(), now),
		Reason: run.GetCancelReason(), Live: c.liveOf(run), Events: events,
		Failures: failuresOf(run), Context: pretty(run.GetContext()), Legacy: legacyOf(run),
	}
	if run.RunsAhead != nil {
		v.Ahead = words.Ahead(run.GetRunsAhead())
	}
	v.Shell.Title = v.Type + " #" + v.ID
	v.LaterEvents, v.FirstEvents = pagesOfEvents(v.ID, later, asked)
	if words.Active(run) && run.GetCancelRequestTime() != nil {
		v.Cancelling = run.GetCancelRequestedBy()
	}
	role, _ := who.Role(run.GetWorkspaceId())
	v.CanCancel = words.Active(run) && run.GetCancelRequestTime() == nil && role.Allows(actor.Operate) && !words.Imported(run)
	if repeatable(run) && role.Allows(actor.Operate) {
		v.Again = &templates.Again{Type: run.GetType(), TenantID: words.ID(run.GetTenantId()), RequestID: rand.Text()}
	}
	v.Tenant = c.nameOfTenant(r.Context(), run)
	v.Section = c.section(r.Context(), run)
	v.Related = relatedOf(shell, run, v.Tenant)
	return v, nil
}

// nameOfTenant returns the name of the run's tenant: "" if the run has none, and
// "Tenant 5" if tenancy does not tell it, because the run can be read without it.
func (c *Console) nameOfTenant(ctx context.Context, run *operationsv1.Run) string {
	if run.TenantId == nil {
		return ""
	}
	tenant, err := c.tenants.GetTenant(ctx, &tenancyv1.GetTenantRequest{WorkspaceId: run.GetWorkspaceId(), TenantId: run.GetTenantId()})
	if err != nil {
		web.Note(ctx, err)
		return "Tenant " + words.ID(run.GetTenantId())
	}
	return tenant.GetTenant().GetDisplayName()
}

// section returns what only runs of this type show on their page; nil if nothing.
func (c *Console) section(ctx context.Context, run *operationsv1.Run) templ.Component {
	section := typeOf(run.GetType()).section
	if section == nil || run.GetStartTime() == nil || words.Imported(run) {
		return nil
	}
	return section(c, ctx, run)
}

// events returns the run's events from the page of token on, and the token of the page
// after them.
func (c *Console) events(ctx context.Context, run int64, token string) (events []words.Event, next string, err error) {
	all, next, err := upTo(mostEvents, token, func(token string) ([]*operationsv1.RunEvent, string, error) {
		page, err := c.runs.ListRunEvents(ctx, &operationsv1.ListRunEventsRequest{RunId: run, PageSize: pageSize, PageToken: token})
		return page.GetEvents(), page.GetNextPageToken(), err
	})
	for _, e := range all {
		events = append(events, words.EventOf(e, c.site.Now()))
	}
	return events, next, err
}

// pagesOfEvents returns the address of the events after the shown ones, and that of
// the first events unless they are shown.
func pagesOfEvents(run, next, shown string) (later, first string) {
	if next != "" {
		later = "/operations/" + run + "?events=" + url.QueryEscape(next) + "#timeline"
	}
	if shown != "" {
		first = "/operations/" + run + "#timeline"
	}
	return later, first
}

func failuresOf(run *operationsv1.Run) []templates.Failure {
	var failures []templates.Failure
	for _, f := range run.GetFailureSummary() {
		failures = append(failures, templates.Failure{
			Reason: words.FailureReason(f), Code: f.GetCode(), Message: f.GetMessage(), Item: f.GetItem(),
			Remediation: f.GetRemediation(), RequestID: f.GetRequestId(), Retryable: f.GetRetryable(),
		})
	}
	return failures
}

// pretty returns a context as indented JSON. It does not use protojson's own spacing,
// which changes from build to build on purpose.
func pretty(s *structpb.Struct) string {
	if len(s.GetFields()) == 0 {
		return ""
	}
	raw, err := protojson.Marshal(s)
	if err != nil {
		return ""
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return string(raw)
	}
	return out.String()
}

func (c *Console) liveOf(run *operationsv1.Run) templates.Live {
	return templates.Live{
		ID: words.ID(run.GetId()), Active: words.Active(run), Badge: words.BadgeOf(run), Progress: words.ProgressOf(run),
		Duration: words.DurationOf(run, c.site.Now()), Counters: words.CountersOf(run), Attempt: words.AttemptOf(run),
	}
}

// Fragment returns the part of a run's page that follows the run.
func (c *Console) Fragment(ctx context.Context, run *operationsv1.Run) ([]byte, error) {
	var fragment bytes.Buffer
	err := templates.LiveRun(c.liveOf(run)).Render(ctx, &fragment)
	return fragment.Bytes(), err
}
