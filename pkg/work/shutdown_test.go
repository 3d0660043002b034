package work

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestShutdownGivesTheRunToAnotherWorkerAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := newBlocking()
	one := w.worker(t, b.job)
	one.cfg.Sweep = time.Hour
	stop := run(t, one)
	id := start(t, one)
	receive(t, b.began, "job")
	if err := stop(); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if cause := receive(t, b.cause, "end of the job"); !errors.Is(cause, ErrShutdown) {
		t.Errorf("the job was stopped by %v", cause)
	}
	if got := w.store.Get(id); got.GetStatus() != queued || got.GetAttempt() != 0 {
		t.Errorf("the run was left as %v", got)
	}
	var slips int
	const open = "select count(*) from river.river_job where state = 'available' and args->>'epoch' = '2'"
	if err := w.db.Pool.QueryRow(t.Context(), open).Scan(&slips); err != nil || slips != 1 {
		t.Errorf("%d slips wait for another worker, %v", slips, err)
	}
	run(t, w.worker(t, done))
	if got := w.store.UntilCompleted(t, id); got.GetOutcome() != succeeded || got.GetAttempt() != 1 {
		t.Errorf("the run ended as %v", got)
	}
}

// At a shutdown the worker waits for the response to a BeginRun call. The store may have
// begun the run already, and otherwise nobody would give back its lease.
func TestShutdownWaitsForTheAnswerOfABegin(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := w.store.HoldBegins()
	worker := w.worker(t, newBlocking().job)
	worker.cfg.Sweep = time.Hour
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	id := start(t, worker)
	w.store.Until(t, id, "begun", func(r *operationsv1.Run) bool { return r.GetStatus() == running })
	stop()
	untilClosed(t, &worker.slips)
	answer()
	if err := receive(t, ended, "end of the worker"); err != nil {
		t.Errorf("Run: %v", err)
	}
	if got := w.store.Get(id); got.GetStatus() != queued || got.GetAttempt() != 0 {
		t.Errorf("the run was left as %v", got)
	}
}

func untilClosed(t *testing.T, s *slips) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for closed := false; !closed; {
		receive(t, again.C, "tick")
		s.mu.Lock()
		closed = s.closed
		s.mu.Unlock()
	}
}

func TestJobThatFinishesDuringShutdownCompletesItsRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	began := make(chan struct{})
	worker := w.worker(t, func(ctx context.Context, _ *Run) (Result, error) {
		close(began)
		<-ctx.Done()
		return Result{Outcome: succeeded}, nil
	})
	stop := run(t, worker)
	id := start(t, worker)
	receive(t, began, "job")
	if err := stop(); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if got := w.store.Get(id); got.GetStatus() != completed || got.GetOutcome() != succeeded {
		t.Errorf("the run was left as %v", got)
	}
}

// A job that does not stop may still be writing, so nobody else may get its run yet.
func TestJobThatDoesNotStopKeepsItsLease(t *testing.T) {
	t.Parallel()
	w := setup(t)
	began, letGo, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	worker := w.worker(t, func(context.Context, *Run) (Result, error) {
		close(began)
		<-letGo
		close(gone)
		return Result{}, errors.New("late")
	})
	worker.cfg.StopTimeout = 50 * time.Millisecond
	stop := run(t, worker)
	id := start(t, worker)
	receive(t, began, "job")
	if err := stop(); err == nil {
		t.Error("Run says that all is well")
	}
	if got := w.store.Get(id); got.GetStatus() != running {
		t.Errorf("the run is %s", got.GetStatus())
	}
	close(letGo)
	receive(t, gone, "end of the job")
	receive(t, worker.river.Stopped(), "end of River")
}

// Workers are started and stopped at random moments, two at a time, while runs wait.
// Each worker stops, and every run ends at last. TestMain finds goroutines that are
// left.
func TestWorkersStartAndStop(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const runs = 40
	var ids []int64
	for range runs {
		ids = append(ids, w.store.Add(syncType))
	}
	slow := func(ctx context.Context, _ *Run) (Result, error) {
		select {
		case <-time.After(5 * time.Millisecond):
			return Result{Outcome: succeeded}, nil
		case <-ctx.Done():
			return Result{}, ctx.Err()
		}
	}
	for range 10 {
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(rand.IntN(150))*time.Millisecond) //nolint:gosec // a test's dice
		ended := make(chan error, 2)
		for range cap(ended) {
			worker := w.worker(t, slow)
			go func() { ended <- worker.Run(ctx) }()
		}
		for range cap(ended) {
			if err := receive(t, ended, "end of the worker"); err != nil {
				t.Errorf("Run: %v", err)
			}
		}
		stop()
	}
	run(t, w.worker(t, slow))
	for _, id := range ids {
		if got := w.store.UntilCompleted(t, id); got.GetOutcome() != succeeded {
			t.Errorf("run %d ended as %v", id, got)
		}
	}
}
