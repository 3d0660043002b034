package work

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const (
	syncType = worktest.Type

	queued    = operationsv1.RunStatus_RUN_STATUS_QUEUED
	running   = operationsv1.RunStatus_RUN_STATUS_RUNNING
	completed = operationsv1.RunStatus_RUN_STATUS_COMPLETED
	pending   = operationsv1.RunOutcome_RUN_OUTCOME_PENDING
	partially = operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED
)

// world is a run store, reached through real interceptors, and a database.
type world struct {
	store *worktest.Store
	ops   *rpctest.Service
	conn  grpc.ClientConnInterface // to the store
	db    *pgtest.DB
}

func setup(t *testing.T) *world {
	t.Helper()
	return setupWith(t, worktest.Options{})
}

func setupWith(t *testing.T, o worktest.Options) *world {
	t.Helper()
	return setupOn(t, pgtest.New(t, "inventory", migrateInventory), o)
}

func setupOn(t *testing.T, db *pgtest.DB, o worktest.Options) *world {
	t.Helper()
	w := &world{store: worktest.New(o), db: db}
	w.ops = rpctest.Serve(t, "operations", w.store.Register)
	w.conn = w.ops.Dial(t, "inventory")
	return w
}

func migrateInventory(ctx context.Context, ownerURL string) error {
	return Migrate(ctx, ownerURL, "inventory_app")
}

func (w *world) worker(t *testing.T, job Job, change ...func(*Config)) *Worker {
	t.Helper()
	cfg := Config{
		Service: "inventory", Pool: w.db.Pool, Operations: w.conn, Jobs: map[string]Job{syncType: job},
		Log:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Settings: Settings{Workers: 10, Heartbeat: 20 * time.Millisecond, Sweep: 100 * time.Millisecond}, StopTimeout: time.Minute, // a busy machine stops late
	}
	for _, c := range change {
		c(&cfg)
	}
	worker, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return worker
}

// run calls w.Run in the background until stop is called or the test ends. stop returns
// the error of Run.
func run(t *testing.T, w *Worker) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	var stopped atomic.Bool
	stop = func() error {
		if stopped.Swap(true) {
			return nil
		}
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return stop
}

// start starts a run that is different work from every other run.
func start(t *testing.T, w *Worker) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // longer than a call gets by itself, for a busy machine
	defer cancel()
	resp, err := w.Start(ctx, &operationsv1.StartRunRequest{WorkspaceId: 1, Type: syncType, IdentityInputs: rand.Text()})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return resp.GetRun().GetId()
}

// done is a job that has nothing to do.
func done(context.Context, *Run) (Result, error) { return Result{Outcome: succeeded}, nil }

// blocking is a job that reports when it began, and ends only with its context.
type blocking struct {
	began chan *Run
	cause chan error
}

func newBlocking() *blocking { return &blocking{began: make(chan *Run, 9), cause: make(chan error, 9)} }

func (b *blocking) job(ctx context.Context, r *Run) (Result, error) {
	r.Progress(map[string]int64{"processed": 3, "total": 9})
	b.began <- r
	<-ctx.Done()
	b.cause <- context.Cause(ctx)
	return Result{}, ctx.Err()
}

func (w *world) untilInProgress(t *testing.T, id int64) {
	t.Helper()
	w.store.Until(t, id, "in progress", func(r *operationsv1.Run) bool { return r.GetSummaryCounts()["processed"] == 1 })
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

func TestRunIsWorkedFromStartToEnd(t *testing.T) {
	t.Parallel()
	w := setup(t)
	seen := make(chan *Run, 1)
	goOn := make(chan struct{})
	worker := w.worker(t, func(_ context.Context, r *Run) (Result, error) {
		r.Progress(map[string]int64{"processed": 1})
		seen <- r
		<-goOn
		return Result{Outcome: partially, Counts: map[string]int64{"processed": 2}, Failures: []*operationsv1.Failure{
			Fail(operationsv1.FailureReason_FAILURE_REASON_PERMISSION, "Scripts could not be read.").Proto(),
		}}, nil
	})
	run(t, worker)
	asked, err := structpb.NewStruct(map[string]any{"selection": "all"})
	if err != nil {
		t.Fatal(err)
	}
	tenant := int64(7)
	resp, err := worker.Start(t.Context(), &operationsv1.StartRunRequest{WorkspaceId: 4, TenantId: &tenant, Type: syncType, Context: asked})
	if err != nil {
		t.Fatal(err)
	}
	id := resp.GetRun().GetId()
	r := receive(t, seen, "job")
	if r.ID != id || r.WorkspaceID != 4 || r.TenantID != 7 || r.Attempt != 1 || r.Epoch != 1 || r.Context.GetFields()["selection"].GetStringValue() != "all" {
		t.Errorf("the job was given %+v", r)
	}
	w.store.Until(t, id, "in progress", func(r *operationsv1.Run) bool { return r.GetSummaryCounts()["processed"] == 1 })
	close(goOn)
	got := w.store.UntilCompleted(t, id)
	if got.GetOutcome() != partially || got.GetSummaryCounts()["processed"] != 2 || got.GetFailureSummary()[0].GetReason() != operationsv1.FailureReason_FAILURE_REASON_PERMISSION {
		t.Errorf("the run ended as %v", got)
	}
}

func TestTwoWorkersNeverShareARun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var calls atomic.Int64
	job := func(context.Context, *Run) (Result, error) {
		calls.Add(1)
		return Result{Outcome: succeeded}, nil
	}
	one, two := w.worker(t, job), w.worker(t, job)
	run(t, one)
	run(t, two)
	var ids []int64
	for range 20 {
		id := start(t, one)
		// A second slip of the same run, as a sweep may write when it races with the begin.
		if _, err := w.db.Pool.Exec(t.Context(), "update river.river_job set unique_key = null"); err != nil {
			t.Fatal(err)
		}
		if err := two.insert(t.Context(), []slip{{RunID: id}}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		if got := w.store.UntilCompleted(t, id); got.GetAttempt() != 1 || w.store.Begins(id) != 1 {
			t.Errorf("run %d took %d attempts", id, got.GetAttempt())
		}
	}
	if n := calls.Load(); n != 20 {
		t.Errorf("20 runs, %d executions", n)
	}
}

func TestLostLeaseStopsTheJobAndAnotherAttemptEndsTheRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := newBlocking()
	first := make(chan struct{}, 1)
	first <- struct{}{}
	worker := w.worker(t, func(ctx context.Context, r *Run) (Result, error) {
		select {
		case <-first:
			return b.job(ctx, r)
		default:
			return Result{Outcome: succeeded}, nil
		}
	})
	run(t, worker)
	id := start(t, worker)
	receive(t, b.began, "job")
	w.store.Expire()
	w.store.Reap()
	if cause := receive(t, b.cause, "end of the job"); !errors.Is(cause, ErrLeaseLost) {
		t.Errorf("the job was stopped by %v", cause)
	}
	if got := w.store.UntilCompleted(t, id); got.GetOutcome() != succeeded || got.GetAttempt() != 2 || got.GetLeaseEpoch() != 3 {
		t.Errorf("the run ended as %v", got)
	}
}

// The job has stopped when the store may first give the run to somebody else.
func TestJobStopsBeforeItsLeaseEndsWhenOperationsIsAway(t *testing.T) {
	t.Parallel()
	w := setupWith(t, worktest.Options{Lease: 5 * time.Second}) // the tenth that is kept back must outlast a busy machine
	b := newBlocking()
	worker := w.worker(t, b.job)
	run(t, worker)
	id := start(t, worker)
	receive(t, b.began, "job")
	w.store.Away()
	cause := receive(t, b.cause, "end of the job")
	if left := time.Until(w.store.Get(id).GetLeaseExpireTime().AsTime()); !errors.Is(cause, ErrLeaseLost) || left <= 0 {
		t.Errorf("the job was stopped by %v, %s before the end of the lease", cause, left)
	}
	if got := w.store.Get(id); got.GetStatus() != running {
		t.Errorf("the run is %s", got.GetStatus())
	}
}

func TestCancelledJobEndsTheRunWithWhatItCounted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := newBlocking()
	worker := w.worker(t, b.job)
	run(t, worker)
	id := start(t, worker)
	receive(t, b.began, "job")
	if _, err := w.store.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: id}); err != nil {
		t.Fatal(err)
	}
	if cause := receive(t, b.cause, "end of the job"); !errors.Is(cause, ErrCancelRequested) {
		t.Errorf("the job was stopped by %v", cause)
	}
	if got := w.store.UntilCompleted(t, id); got.GetOutcome() != cancelled || got.GetSummaryCounts()["processed"] != 3 {
		t.Errorf("the run ended as %v", got)
	}
}

func TestRunOfAnUnknownTypeIsGivenBack(t *testing.T) {
	t.Parallel()
	w := setup(t)
	worker := w.worker(t, done)
	run(t, worker)
	id := w.store.Add("backup_verify")
	if err := worker.insert(t.Context(), []slip{{RunID: id}}); err != nil {
		t.Fatal(err)
	}
	got := w.store.Until(t, id, "given back", func(r *operationsv1.Run) bool { return r.GetLeaseEpoch() == 2 })
	if got.GetStatus() != queued || got.GetAttempt() != 0 {
		t.Errorf("the run was left as %v", got)
	}
}
