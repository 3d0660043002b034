package work

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Whatever a job does wrong, its run ends, and no internal detail is shown.
func TestJobGoingWrongEndsItsRun(t *testing.T) {
	t.Parallel()
	secret := errors.New("password=hunter2")
	tests := map[string]struct {
		res    Result
		err    error
		panics any
		reason operationsv1.FailureReason
		says   string
	}{
		"an error of its own":     {err: secret, reason: operationsv1.FailureReason_FAILURE_REASON_WORKER_ERROR, says: "service's log"},
		"a failure for people":    {err: &Failure{Reason: operationsv1.FailureReason_FAILURE_REASON_TENANT_AUTH, Message: "The secret is wrong.", Cause: secret}, reason: operationsv1.FailureReason_FAILURE_REASON_TENANT_AUTH, says: "The secret is wrong."},
		"a panic":                 {panics: secret, reason: operationsv1.FailureReason_FAILURE_REASON_INTERNAL, says: "fault in the program"},
		"no outcome":              {reason: operationsv1.FailureReason_FAILURE_REASON_INTERNAL, says: "did not say how"},
		"counters nobody accepts": {res: Result{Outcome: succeeded, Counts: map[string]int64{"Not a name": 1}}, reason: operationsv1.FailureReason_FAILURE_REASON_INTERNAL, says: "not acceptable"},
		"negative counters":       {res: Result{Outcome: succeeded, Counts: map[string]int64{"processed": -1}}, reason: operationsv1.FailureReason_FAILURE_REASON_INTERNAL, says: "not acceptable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			worker := w.worker(t, func(context.Context, *Run) (Result, error) {
				if tt.panics != nil {
					panic(tt.panics)
				}
				return tt.res, tt.err
			})
			run(t, worker)
			got := w.store.UntilCompleted(t, start(t, worker))
			if got.GetOutcome() != failed || len(got.GetFailureSummary()) != 1 {
				t.Fatalf("the run ended as %v", got)
			}
			f := got.GetFailureSummary()[0]
			if f.GetReason() != tt.reason || !strings.Contains(f.GetMessage(), tt.says) || strings.Contains(f.String(), "hunter2") {
				t.Errorf("people are told %v", f)
			}
		})
	}
}

func TestCallsThatFailForAWhile(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"BeginRun", "ReportProgress", "CompleteRun", "ListDispatchableRuns"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			worker := w.worker(t, untilTold)
			for n := 1; n <= 3; n++ {
				w.ops.FailCall(n, method, errs.Unavailable("AWAY", "operations is away"))
			}
			w.ops.FailCall(4, method, errors.New("the database is starting up"))
			id := w.store.Add(syncType)
			run(t, worker)
			w.untilInProgress(t, id)
			w.tell(t, id)
			if got := w.store.UntilCompleted(t, id); got.GetOutcome() != cancelled || got.GetAttempt() != 1 {
				t.Errorf("the run ended as %v", got)
			}
		})
	}
}

func TestLostRepliesChangeNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"BeginRun", "ReportProgress", "CompleteRun"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			worker := w.worker(t, untilTold)
			w.ops.LoseReply(1, method)
			id := w.store.Add(syncType)
			run(t, worker)
			w.untilInProgress(t, id)
			w.tell(t, id)
			if got := w.store.UntilCompleted(t, id); got.GetOutcome() != cancelled || got.GetAttempt() != 1 || got.GetLeaseEpoch() != 1 {
				t.Errorf("the run ended as %v", got)
			}
		})
	}
}

func TestLostReplyOfARelease(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := newBlocking()
	worker := w.worker(t, b.job)
	stop := run(t, worker)
	id := start(t, worker)
	receive(t, b.began, "job")
	w.ops.LoseReply(1, "ReleaseRun")
	if err := stop(); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if got := w.store.Get(id); got.GetStatus() != queued || got.GetLeaseEpoch() != 2 || got.GetAttempt() != 0 {
		t.Errorf("the run was left as %v", got)
	}
}

// Counters that the store refuses must not cost the lease.
func TestRefusedProgressDoesNotStopTheHeart(t *testing.T) {
	t.Parallel()
	w := setup(t)
	worker := w.worker(t, func(ctx context.Context, r *Run) (Result, error) {
		r.Progress(map[string]int64{"Not a name": 1})
		<-ctx.Done()
		r.Progress(map[string]int64{"processed": 5})
		return Result{}, ctx.Err()
	})
	run(t, worker)
	id := start(t, worker)
	begun := w.store.Until(t, id, "begun", func(r *operationsv1.Run) bool { return r.GetStatus() == running })
	w.store.Until(t, id, "kept", func(r *operationsv1.Run) bool {
		return r.GetLeaseExpireTime().AsTime().After(begun.GetLeaseExpireTime().AsTime())
	})
	w.tell(t, id)
	if got := w.store.UntilCompleted(t, id); got.GetOutcome() != cancelled || got.GetSummaryCounts()["processed"] != 5 {
		t.Errorf("the run ended as %v", got)
	}
}

// untilTold is a job that ends when its run is cancelled, see world.tell.
func untilTold(ctx context.Context, r *Run) (Result, error) {
	r.Progress(map[string]int64{"processed": 1})
	<-ctx.Done()
	return Result{}, ctx.Err()
}

func (w *world) tell(t *testing.T, id int64) {
	t.Helper()
	if _, err := w.store.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: id}); err != nil {
		t.Fatal(err)
	}
}
