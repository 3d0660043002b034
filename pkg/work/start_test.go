package work

import (
	"context"
	"crypto/rand"
	"path"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

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

// Starts that are made at the same time share a call: the first is held until the
// others have gone in a batch.
func TestStartsOfAWorkerAreCollected(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var first sync.Once
	batch := make(chan struct{})
	came := sync.OnceFunc(func() { close(batch) })
	w.conn = w.ops.Dial(t, "inventory", grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			switch path.Base(method) {
			case "BatchStartRuns":
				came()
			case "StartRun":
				first.Do(func() {
					select {
					case <-batch:
					case <-ctx.Done():
					}
				})
			}
			return invoke(ctx, method, req, reply, conn, opts...)
		}))
	worker := w.worker(t, done)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := worker.Start(t.Context(), &operationsv1.StartRunRequest{WorkspaceId: 1, Type: syncType, IdentityInputs: rand.Text()}); err != nil {
				t.Errorf("Start: %v", err)
			}
		})
	}
	all.Wait()
	select {
	case <-batch:
	default:
		t.Error("every start was a call of its own")
	}
}
