package work

import (
	"context"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestStartRepeatsItselfUntilTheRunInTheWayHasStopped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	inTheWay := errs.Aborted("RUN_ALREADY_ACTIVE", "run 9 is being cancelled").RetryIn(time.Millisecond)
	w.ops.FailCall(1, "StartRun", inTheWay)
	w.ops.FailCall(2, "StartRun", inTheWay)
	worker := w.worker(t, done)
	req := &operationsv1.StartRunRequest{WorkspaceId: 1, Type: syncType, ConflictPolicy: operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING}
	if _, err := worker.Start(t.Context(), req); err != nil {
		t.Errorf("Start: %v", err)
	}
	w.ops.FailCall(1, "StartRun", inTheWay)
	req.ConflictPolicy = operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL
	if _, err := worker.Start(t.Context(), req); errs.Reason(err) != "RUN_ALREADY_ACTIVE" {
		t.Errorf("Start: %v, want the refusal itself", err)
	}
}

func TestJobWorksInTheTraceOfWhoStartedIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	inJob := make(chan trace.SpanContext, 1)
	worker := w.worker(t, func(ctx context.Context, _ *Run) (Result, error) {
		inJob <- trace.SpanContextFromContext(ctx)
		return Result{Outcome: succeeded}, nil
	})
	spans := tracetest.NewSpanRecorder()
	worker.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	id := w.store.Add(syncType)
	w.store.Change(id, func(r *operationsv1.Run) {
		r.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	})
	stop := run(t, worker)
	got := receive(t, inJob, "job")
	w.store.UntilCompleted(t, id)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the job is in trace %s", got.TraceID())
	}
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].Name() != "run inventory_sync" || ended[0].Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("spans: %v", ended)
	}
}
