package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

const (
	succeeded = operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
	failed    = operationsv1.RunOutcome_RUN_OUTCOME_FAILED
	cancelled = operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED
)

// ending is what happens to a run after its job has returned.
type ending struct {
	kind     kind
	outcome  operationsv1.RunOutcome
	counts   map[string]int64 // nil for those last reported
	failures []*operationsv1.Failure
	wait     time.Duration // how long a released run has nothing to do
}

type kind int

const (
	abandon  kind = iota // no call: the run is not ours any more
	release              // back to the queue
	complete             // it ended
)

// conclude decides how a run ends. A job whose context ended was interrupted,
// unless it says that everything was done all the same.
func conclude(cause error, res Result, err error) ending {
	switch {
	case err == nil && (cause == nil || res.Outcome == succeeded):
		return finished(res)
	case errors.Is(cause, ErrCancelRequested):
		return ending{kind: complete, outcome: cancelled, counts: res.Counts, failures: res.Failures}
	case errors.Is(cause, ErrPlaceNeeded):
		return ending{kind: release, wait: waitOf(cause)}
	case errors.Is(cause, ErrShutdown), cause == nil && errors.Is(err, errNoJob):
		return ending{kind: release}
	case cause != nil:
		return ending{kind: abandon}
	}
	return ending{kind: complete, outcome: failed, counts: res.Counts, failures: append(res.Failures, entry(err))}
}

// placeNeeded is [ErrPlaceNeeded] with how long the run would have waited.
type placeNeeded struct{ wait time.Duration }

func (p *placeNeeded) Error() string {
	return fmt.Sprintf("%v: it waits for %s", ErrPlaceNeeded, p.wait)
}

// Unwrap returns ErrPlaceNeeded.
func (p *placeNeeded) Unwrap() error { return ErrPlaceNeeded }

func waitOf(cause error) time.Duration {
	if p, ok := errors.AsType[*placeNeeded](cause); ok {
		return p.wait
	}
	return 0
}

func finished(res Result) ending {
	if res.Outcome <= operationsv1.RunOutcome_RUN_OUTCOME_PENDING {
		return ending{kind: complete, outcome: failed, counts: res.Counts,
			failures: append(res.Failures, Fail(operationsv1.FailureReason_FAILURE_REASON_INTERNAL, "The job did not say how it ended.").Proto())}
	}
	return ending{kind: complete, outcome: res.Outcome, counts: res.Counts, failures: res.Failures}
}

// entry returns what people read about a job's error: the words of a [*Failure], and of
// any other error only that the log has it.
func entry(err error) *operationsv1.Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Proto()
	}
	return Fail(operationsv1.FailureReason_FAILURE_REASON_WORKER_ERROR, "The job failed for a reason that is only in the service's log.").Proto()
}

// settle completes the run, or gives it back, as end says. jobErr is for the log.
func (w *Worker) settle(ctx context.Context, l *lease, r *Run, end ending, jobErr error) {
	var err error
	switch end.kind {
	case complete:
		err = w.complete(ctx, l, r, end)
	case release:
		err = w.release(ctx, l, end.wait, jobErr)
	case abandon:
	}
	switch {
	case notOurs(err):
		l.log.WarnContext(ctx, "run was taken away before its end", "err", err, "job_err", jobErr)
	case err != nil:
		l.log.ErrorContext(ctx, "end of run not recorded, left to the lease", "err", err, "job_err", jobErr)
	case end.kind == complete:
		l.log.InfoContext(ctx, "run completed", "type", r.Type, "outcome", end.outcome.String(), "job_err", jobErr)
	case end.kind == release:
		l.log.InfoContext(ctx, "run released", "type", r.Type, "job_err", jobErr)
	}
}

// complete ends the run. It keeps trying for a lease's length after the lease
// ended: while nobody took the run over, the store still accepts it.
func (w *Worker) complete(ctx context.Context, l *lease, r *Run, end ending) error {
	req := &operationsv1.CompleteRunRequest{
		RunId: l.runID, LeaseEpoch: l.epoch, Outcome: end.outcome, SummaryCounts: end.counts, FailureSummary: fit(end.failures),
		View: operationsv1.RunView_RUN_VIEW_BASIC, // nobody looks at it
	}
	if req.GetSummaryCounts() == nil {
		req.SummaryCounts = r.progress.counts()
	}
	until := l.ends.Add(l.length)
	err := w.sendComplete(ctx, until, req)
	if !refused(err) {
		return err
	}
	// What the job said is at fault, and would be for every attempt to come.
	l.log.ErrorContext(ctx, "result refused", "err", err)
	req.Outcome, req.SummaryCounts = failed, nil
	req.FailureSummary = []*operationsv1.Failure{Fail(operationsv1.FailureReason_FAILURE_REASON_INTERNAL, "The job's result was not acceptable to the run store.").Proto()}
	return w.sendComplete(ctx, until, req)
}

func (w *Worker) sendComplete(ctx context.Context, until time.Time, req *operationsv1.CompleteRunRequest) error {
	return persist(ctx, until, func(ctx context.Context) error {
		_, err := w.runs.CompleteRun(ctx, req)
		return err
	})
}

// release gives the run back to the queue and writes its next slip, so that another
// replica may begin it at once, or, if the run would only wait, when the wait is over. A
// run whose type has no job here gets no slip: the sweep of a replica that has the job
// writes one.
func (w *Worker) release(ctx context.Context, l *lease, wait time.Duration, jobErr error) error {
	var resp *operationsv1.ReleaseRunResponse
	err := persist(ctx, l.ends, func(ctx context.Context) (err error) {
		resp, err = w.runs.ReleaseRun(ctx, &operationsv1.ReleaseRunRequest{RunId: l.runID, LeaseEpoch: l.epoch})
		return err
	})
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	if !errors.Is(jobErr, errNoJob) {
		w.dispatchAfter(ctx, resp.GetRun(), wait)
	}
	return nil
}
