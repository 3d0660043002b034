package work

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// beginPatience is how long a slip tries to begin its run. After that it ends, and
// the sweep writes another when operations can be reached again.
const beginPatience = 10 * time.Second

// execute takes one slip from begin to end. ctx ends only when a shutdown has
// taken too long.
func (w *Worker) execute(ctx context.Context, slipID int64, s slip) {
	jobCtx, stopJob, ok := w.slips.enter(ctx, slipID)
	if !ok {
		return
	}
	defer w.slips.leave(slipID)
	sent := time.Now()
	// Not even a shutdown cuts this short: the run may have begun without this process
	// knowing. Nobody would work on it until its lease ends.
	r, err := w.begin(ctx, sent, &operationsv1.BeginRunRequest{RunId: s.RunID, Holder: w.holder(slipID)})
	switch {
	case notOurs(err):
		w.cfg.Log.DebugContext(ctx, "slip without a run to work on", "run_id", s.RunID, "err", err)
		return
	case err != nil:
		w.cfg.Log.WarnContext(ctx, "run not begun, left to the sweep", "run_id", s.RunID, "err", err)
		return
	case r.GetStatus() != operationsv1.RunStatus_RUN_STATUS_RUNNING:
		return // it ended instead of beginning, for example because cancellation was asked for
	}
	// The lease counts from the first try: it may have got the lease, its reply was
	// lost, and a later try returned the same lease.
	w.attempt(ctx, jobCtx, slipID, r, w.newLease(r, sent, stopJob))
}

func (w *Worker) begin(ctx context.Context, sent time.Time, req *operationsv1.BeginRunRequest) (*operationsv1.Run, error) {
	var resp *operationsv1.BeginRunResponse
	err := persist(ctx, sent.Add(beginPatience), func(ctx context.Context) (err error) {
		resp, err = w.runs.BeginRun(ctx, req)
		return err
	})
	return resp.GetRun(), err
}

// attempt works on a run that is leased to us, in the trace of who started it.
func (w *Worker) attempt(ctx, jobCtx context.Context, slipID int64, m *operationsv1.Run, l *lease) {
	span := w.span(ctx, m)
	defer span.End()
	ctx, jobCtx = trace.ContextWithSpan(ctx, span), trace.ContextWithSpan(jobCtx, span)
	r := newRun(m, l.progress)
	r.waiting = func(d time.Duration) func(context.Context) { return w.waiting(slipID, d) }
	l.log.InfoContext(ctx, "run begun", "type", r.Type, "workspace_id", r.WorkspaceID, "attempt", r.Attempt)

	beating, stopBeating := context.WithCancel(ctx)
	beaten := make(chan struct{})
	go func() {
		defer close(beaten)
		l.keep(beating)
	}()
	res, err := w.call(jobCtx, r)
	cause := context.Cause(jobCtx)
	stopBeating()
	<-beaten

	end := conclude(cause, res, err)
	if end.outcome == failed {
		span.SetStatus(codes.Error, "")
	}
	w.settle(ctx, l, r, end, err)
}

func (w *Worker) span(ctx context.Context, m *operationsv1.Run) trace.Span {
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": m.GetTraceparent()})
	_, span := w.tracer.Start(ctx, "run "+m.GetType(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.Int64("run_id", m.GetId()), attribute.Int("attempt", int(m.GetAttempt()))))
	return span
}

// longestWait bounds how long a tenant is left alone, and how far ahead a slip is written.
const longestWait = 5 * time.Minute

// waiting parks the run of a slip. If too many are parked it stops a job, perhaps this
// one, so that its run goes back to the queue.
func (w *Worker) waiting(slipID int64, d time.Duration) (resume func(context.Context)) {
	if other, rest := w.gate.Park(slipID, min(d, longestWait)); other != 0 {
		w.slips.end(other, &placeNeeded{wait: rest})
	}
	return func(ctx context.Context) { w.gate.Unpark(ctx, slipID) }
}

var errNoJob = errors.New("no job for this type")

// call runs the job's body; a panic in it is an error like any other.
func (w *Worker) call(ctx context.Context, r *Run) (res Result, err error) {
	job, ok := w.cfg.Jobs[r.Type]
	if !ok {
		return Result{}, errNoJob
	}
	defer func() {
		if p := recover(); p != nil {
			w.cfg.Log.ErrorContext(ctx, "job panicked", "run_id", r.ID, "type", r.Type, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			res, err = Result{}, &Failure{Reason: operationsv1.FailureReason_FAILURE_REASON_INTERNAL, Message: "The job stopped because of a fault in the program.", Cause: fmt.Errorf("panic: %v", p)}
		}
	}()
	return job(ctx, r)
}

// holder returns a name for this execution of a slip that no other execution has.
// By it operations tells a repeated begin, whose first reply was lost, from a begin of
// another worker.
func (w *Worker) holder(slipID int64) string {
	return fmt.Sprintf("%s/%s/%d/%d/%s", w.cfg.Service, w.host, os.Getpid(), slipID, rand.Text())
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return text(name, 64)
}
