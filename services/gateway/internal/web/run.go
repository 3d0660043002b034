package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web/templates"
)

const inventorySync = "inventory_sync"

// runPage shows one run, whole.
func (s *Site) runPage(w http.ResponseWriter, r *http.Request, who actor.Actor) error {
	run, err := s.run(r.Context(), r.PathValue("run"))
	if err != nil {
		return err
	}
	view, err := s.viewRun(r, who, run)
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, templates.RunPage(view))
	return nil
}

// run reads the run of a path. A malformed id names no run.
func (s *Site) run(ctx context.Context, path string) (*operationsv1.Run, error) {
	number, ok := parseID(path)
	if !ok {
		return nil, errs.NotFound("run")
	}
	answer, err := operationsv1.NewRunReaderServiceClient(s.cfg.Operations).GetRun(ctx, &operationsv1.GetRunRequest{RunId: number})
	return answer.GetRun(), err
}

func (s *Site) viewRun(r *http.Request, who actor.Actor, run *operationsv1.Run) (templates.Run, error) {
	shell, err := s.shellFor(r, who, "", run.GetWorkspaceId())
	if err != nil {
		return templates.Run{}, err
	}
	types, err := s.runTypes(r.Context())
	if err != nil {
		return templates.Run{}, err
	}
	asked := r.URL.Query().Get("events")
	events, later, err := s.events(r.Context(), run.GetId(), asked)
	if err != nil {
		return templates.Run{}, err
	}
	now := s.now()
	v := templates.Run{
		Shell: shell, ID: id(run.GetId()), Type: types.name(run.GetType()), Workspace: shell.Room.Name,
		Initiator: run.GetInitiatorName(), Attempt: attemptOf(run), Created: momentOf(run.GetCreateTime(), now),
		Started: momentOf(run.GetStartTime(), now), Ended: momentOf(run.GetCompleteTime(), now),
		Reason: run.GetCancelReason(), Live: s.liveOf(run), Events: events,
		Failures: failuresOf(run), Context: pretty(run.GetContext()), Legacy: legacyOf(run),
	}
	v.Shell.Title = v.Type + " #" + v.ID
	v.LaterEvents, v.FirstEvents = pagesOfEvents(v.ID, later, asked)
	if active(run) && run.GetCancelRequestTime() != nil {
		v.Cancelling = run.GetCancelRequestedBy()
	}
	role, _ := who.Role(run.GetWorkspaceId())
	v.CanCancel = active(run) && run.GetCancelRequestTime() == nil && role.Allows(actor.Operate) && !imported(run)
	if repeatable(run) && role.Allows(actor.Operate) {
		v.Again = rand.Text()
	}
	s.addTenant(r, run, &v)
	v.Related = relatedOf(shell, run, v.Tenant)
	return v, nil
}

// repeatable reports whether a run is one the console can start again: an ended
// sync that was run here.
func repeatable(run *operationsv1.Run) bool {
	return run.GetType() == inventorySync && run.TenantId != nil && !active(run) && !imported(run)
}

// addTenant adds what other services know of the run. It does without where
// they don't answer: the run itself can still be read.
func (s *Site) addTenant(r *http.Request, run *operationsv1.Run, v *templates.Run) {
	if run.TenantId == nil {
		return
	}
	v.TenantID = id(run.GetTenantId())
	v.Tenant = "Tenant " + v.TenantID
	tenant, err := tenancyv1.NewTenantReaderServiceClient(s.cfg.Tenancy).GetTenant(r.Context(),
		&tenancyv1.GetTenantRequest{WorkspaceId: run.GetWorkspaceId(), TenantId: run.GetTenantId()})
	if err != nil {
		note(r.Context(), err)
	} else {
		v.Tenant = tenant.GetTenant().GetDisplayName()
	}
	if run.GetType() != inventorySync || run.GetStartTime() == nil || imported(run) {
		return
	}
	number := run.GetId()
	answer, err := inventoryv1.NewInventoryReaderServiceClient(s.cfg.Inventory).GetCoverage(r.Context(), &inventoryv1.GetCoverageRequest{
		WorkspaceId: run.GetWorkspaceId(), TenantId: run.GetTenantId(), RunId: &number,
	})
	switch {
	case errs.Code(err) == codes.NotFound:
		v.NoCoverage = "The tenant is no longer in this workspace."
	case err != nil:
		note(r.Context(), err)
		v.NoCoverage = "Coverage can't be read just now. Reload the page in a moment."
	}
	for _, c := range answer.GetCoverage() {
		v.Coverage = append(v.Coverage, coverageOf(c))
	}
}

func coverageOf(c *inventoryv1.Coverage) templates.Coverage {
	v := templates.Coverage{
		Type: c.GetType(), Listed: templates.Number(c.GetListedCount()), Read: templates.Number(c.GetReadCount()),
		Failed: templates.Number(c.GetFailedCount()), New: templates.Number(c.GetCreatedCount()), Changed: templates.Number(c.GetUpdatedCount()),
		Same: templates.Number(c.GetUnchangedCount()), Gone: templates.Number(c.GetRemovedCount()), Message: c.GetMessage(),
	}
	switch {
	case c.GetComplete():
		v.Badge = templates.Badge{Tone: "good", Icon: "check", Word: "Complete"}
	case c.GetEndTime() == nil:
		v.Badge = templates.Badge{Tone: "active", Icon: "run", Word: "Reading"}
	default:
		v.Badge = templates.Badge{Tone: "bad", Icon: "part", Word: "Incomplete"}
	}
	return v
}

// events is the run's history from the page of token on, and where it goes on.
func (s *Site) events(ctx context.Context, run int64, token string) (events []templates.Event, next string, err error) {
	reader := operationsv1.NewRunReaderServiceClient(s.cfg.Operations)
	all, next, err := upTo(mostEvents, token, func(token string) ([]*operationsv1.RunEvent, string, error) {
		answer, err := reader.ListRunEvents(ctx, &operationsv1.ListRunEventsRequest{RunId: run, PageSize: pageSize, PageToken: token})
		return answer.GetEvents(), answer.GetNextPageToken(), err
	})
	for _, e := range all {
		events = append(events, eventOf(e, s.now()))
	}
	return events, next, err
}

// pagesOfEvents are the addresses of the events after those shown and, unless
// these are they, of the first.
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
			Reason: reasonWord(f), Code: f.GetCode(), Message: f.GetMessage(), Item: f.GetItem(),
			Remediation: f.GetRemediation(), RequestID: f.GetRequestId(), Retryable: f.GetRetryable(),
		})
	}
	return failures
}

// pretty is a context as people read JSON. protojson's own spacing changes from
// build to build, on purpose.
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
