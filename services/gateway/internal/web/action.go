package web

import (
	"net/http"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// startSync starts an inventory sync, the first or one that repeats another, and
// goes to its run, or to the one already under way.
func (s *Site) startSync(w http.ResponseWriter, r *http.Request, who actor.Actor) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	workspace, err := memberWorkspace(r.PostForm.Get("workspace"), who)
	if err != nil {
		return err
	}
	tenant, ok := parseID(r.PostForm.Get("tenant"))
	if !ok {
		return errs.NotFound("tenant")
	}
	start := &inventoryv1.StartSyncRequest{WorkspaceId: workspace, TenantId: tenant, RequestId: r.PostForm.Get("request_id")}
	if repeated := r.PostForm.Get("retry_of"); repeated != "" {
		original, ok := parseID(repeated)
		if !ok {
			return errs.NotFound("run")
		}
		start.RetryOf = &original
	}
	answer, err := inventoryv1.NewInventoryServiceClient(s.cfg.Inventory).StartSync(r.Context(), start)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/operations/"+id(answer.GetRun().GetId()), http.StatusSeeOther)
	return nil
}

// cancelRun asks a run to stop and goes back to it.
func (s *Site) cancelRun(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	number, ok := parseID(r.PathValue("run"))
	if !ok {
		return errs.NotFound("run")
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	_, err := operationsv1.NewRunServiceClient(s.cfg.Operations).CancelRun(r.Context(), &operationsv1.CancelRunRequest{
		RunId: number, Reason: r.PostForm.Get("reason"),
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/operations/"+id(number), http.StatusSeeOther)
	return nil
}
