package work

import (
	"context"
	"errors"
	"testing"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// However many runs wait, none of them keeps a place.
func TestWaitingRunsKeepNoPlaceWhenTooManyWait(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.worker(t, c.job, func(cfg *Config) { cfg.Workers, cfg.WorkspaceShare, cfg.MaxWaiting = 4, 2, 2 })
	for tenant := range int64(6) {
		c.queue(t, w, 1, 1, throttled+tenant)
		c.queue(t, w, 1, 2, throttled+tenant)
	}
	run(t, w)
	begun := c.next(t, 12)
	c.queue(t, w, 1, 3, 1)
	if got := sizes(c.next(t, 1)); got != "map[{3 1}:1]" {
		t.Errorf("next is %s", got)
	}
	for tenant := range int64(6) {
		c.queue(t, w, 2, 1, throttled+tenant)
	}
	c.nobody(t, w) // the tenants are known to wait
	c.untilScheduled(t, 10)
	back := 0
	for _, runs := range begun {
		if got := c.store.Get(runs[0].ID); got.GetStatus() == queued && got.GetAttempt() == 0 {
			back++
		}
	}
	if back != 10 {
		t.Errorf("%d runs were given back", back)
	}
}

// untilScheduled waits until n slips wait for the end of their run's wait.
func (c *crowd) untilScheduled(t *testing.T, n int) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(20 * time.Second); c.slips(t, "scheduled") != n; receive(t, again.C, "tick") {
		if time.Now().After(end) {
			t.Fatalf("%d slips are scheduled, and %d wait", c.slips(t, "scheduled"), c.slips(t, "available"))
		}
	}
}

func (c *crowd) slips(t *testing.T, state string) int {
	t.Helper()
	var n int
	const count = "select count(*) from river.river_job where state = $1::text::river.river_job_state and unique_key is not null"
	if err := c.db.Pool.QueryRow(t.Context(), count, state).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRunThatWasGivenBackBeginsAfterItsWait(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const wait = time.Second
	began, stopped := make(chan time.Time, 9), make(chan error, 9)
	job := func(ctx context.Context, r *Run) (Result, error) {
		began <- time.Now()
		if r.Epoch > 1 {
			return Result{Outcome: succeeded}, nil
		}
		resume := r.Waiting(wait)
		<-ctx.Done()
		resume(ctx)
		stopped <- context.Cause(ctx)
		return Result{}, ctx.Err()
	}
	worker := w.worker(t, job) // nothing parks
	id := w.store.AddFor(1, 1, syncType)
	run(t, worker)
	first := receive(t, began, "begin")
	if err := receive(t, stopped, "end of the job"); !errors.Is(err, ErrPlaceNeeded) {
		t.Errorf("the job was stopped by %v", err)
	}
	got := w.store.UntilCompleted(t, id)
	if got.GetOutcome() != succeeded || got.GetAttempt() != 1 {
		t.Errorf("the run ended as %v", got)
	}
	if again := receive(t, began, "second begin").Sub(first); again < wait || len(began) != 0 {
		t.Errorf("it began again after %s, and %d times more", again, len(began))
	}
}

// oneGivenBack returns a worker without parking that has given back the run it returns.
func oneGivenBack(t *testing.T, c *crowd) (*Worker, int64) {
	t.Helper()
	w := c.worker(t, c.job, func(cfg *Config) { cfg.Sweep = time.Hour })
	c.queue(t, w, 1, 1, throttled)
	run(t, w)
	id := c.next(t, 1)[of(1, throttled)][0].ID
	c.untilScheduled(t, 1)
	return w, id
}

// The process dies after it gave the run back and before it wrote the slip.
func TestGivenBackRunWithoutASlipIsFoundByTheSweep(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w, id := oneGivenBack(t, c)
	if _, err := c.db.Pool.Exec(t.Context(), "delete from river.river_job where state = 'scheduled'"); err != nil {
		t.Fatal(err)
	}
	if err := w.sweepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.nobody(t, w)
	run(t, c.worker(t, done)) // it does not know that the tenant waits
	if got := c.store.UntilCompleted(t, id); got.GetAttempt() != 1 {
		t.Errorf("the run ended as %v", got)
	}
}

func TestSweepLeavesTheSlipOfAWaitingRun(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w, _ := oneGivenBack(t, c)
	for range 2 {
		if err := w.sweepOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c.slips(t, "scheduled") != 1 || c.slips(t, "available") != 0 {
		t.Errorf("%d slips are scheduled, %d wait", c.slips(t, "scheduled"), c.slips(t, "available"))
	}
	// It was written by a process whose clock is an hour ahead.
	if _, err := c.db.Pool.Exec(t.Context(), "update river.river_job set scheduled_at = now() + interval '1 hour' where state = 'scheduled'"); err != nil {
		t.Fatal(err)
	}
	if err := w.sweepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.slips(t, "available") != 1 {
		t.Error("the run would wait for an hour")
	}
}

// The sweep saw the given-back run before its slip was written.
func TestSlipThatTheSweepWroteIsPostponed(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.four(t)
	c.queue(t, w, 1, 1, throttled)
	id := c.store.AddFor(1, throttled, syncType)
	if err := w.sweepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.dispatchAfter(t.Context(), c.store.Get(id), time.Minute)
	if c.slips(t, "scheduled") != 1 || c.slips(t, "available") != 1 {
		t.Errorf("%d slips are scheduled, %d wait", c.slips(t, "scheduled"), c.slips(t, "available"))
	}
}

// A cancel request ends a run that was given back, though its slip is for later.
func TestGivenBackRunCanBeCancelled(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	_, id := oneGivenBack(t, c)
	if _, err := c.store.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: id}); err != nil {
		t.Fatal(err)
	}
	c.store.UntilCompleted(t, id)
}
