package console

import (
	"errors"
	"net/http"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// startRun starts a run of the type that the form names, and shows it.
func (c *Console) startRun(w http.ResponseWriter, r *http.Request, who web.Caller) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	form, err := readStart(r, who)
	if err != nil {
		return err
	}
	start := typeOf(r.PostForm.Get("type")).start
	if start == nil {
		return errs.Invalid("type", "runs of this type are not started here")
	}
	run, err := start(c, r.Context(), form)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/operations/"+words.ID(run.GetId()), http.StatusSeeOther)
	return nil
}

func readStart(r *http.Request, who web.Caller) (startForm, error) {
	workspace, err := memberWorkspace(r.PostForm.Get("workspace"), who)
	if err != nil {
		return startForm{}, err
	}
	tenant, ok := web.ParseID(r.PostForm.Get("tenant"))
	if !ok {
		return startForm{}, errs.NotFound("tenant")
	}
	form := startForm{workspace: workspace, tenant: tenant, requestID: r.PostForm.Get("request_id")}
	if repeated := r.PostForm.Get("retry_of"); repeated != "" {
		original, ok := web.ParseID(repeated)
		if !ok {
			return startForm{}, errs.NotFound("run")
		}
		form.retryOf = &original
	}
	return form, nil
}

// cancelRun asks a run to stop, and shows it.
func (c *Console) cancelRun(w http.ResponseWriter, r *http.Request, _ web.Caller) error {
	number, ok := web.ParseID(r.PathValue("run"))
	if !ok {
		return errs.NotFound("run")
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	_, err := c.runWrites.CancelRun(r.Context(), &operationsv1.CancelRunRequest{RunId: number, Reason: r.PostForm.Get("reason")})
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/operations/"+words.ID(number), http.StatusSeeOther)
	return nil
}

// readForm reads a small form. Its error says what is wrong with it.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return errs.Invalid("", "the form is too large")
		}
		return errs.Invalid("", "the form could not be read").Wrap(err)
	}
	for name, values := range r.PostForm {
		for _, v := range values {
			if err := web.CheckText(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}
