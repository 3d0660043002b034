package work

import (
	"context"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Start starts a run, or finds the one there is, and sees to it that a worker
// takes it. Its errors are those of StartRun. If the request cancels an existing run,
// Start repeats it until that run has stopped or ctx has no time left.
func (w *Worker) Start(ctx context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	for {
		resp, err := w.runs.StartRun(ctx, req)
		if err == nil {
			w.dispatch(ctx, resp.GetRun())
			return resp, nil
		}
		again, ok := startAgain(req, errs.FromStatus(err))
		if !ok || !timeFor(ctx, again) || pause.For(ctx, again) != nil {
			return nil, err
		}
	}
}

// startAgain returns how long to wait before the start is repeated, and whether to: the
// run that is in its way was asked to stop.
func startAgain(req *operationsv1.StartRunRequest, err error) (time.Duration, bool) {
	if req.GetConflictPolicy() != operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING {
		return 0, false
	}
	e, ok := errs.As(err)
	if !ok || !errs.HasReason(e, operationsv1.RunReason_RUN_REASON_RUN_ALREADY_ACTIVE) {
		return 0, false
	}
	return e.RetryAfter(), e.RetryAfter() > 0
}

func timeFor(ctx context.Context, d time.Duration) bool {
	end, ok := ctx.Deadline()
	return !ok || time.Until(end) > d
}
