package work

import (
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"
)

func TestSweepFindsRunsWithoutASlip(t *testing.T) {
	t.Parallel()
	w := setupWith(t, worktest.Options{PageSize: 2})
	worker := w.worker(t, done)
	var ids []int64
	for range 5 {
		ids = append(ids, w.store.Add(syncType))
	}
	run(t, worker)
	for _, id := range ids {
		w.store.UntilCompleted(t, id)
	}
	later := w.store.Add(syncType)
	w.store.UntilCompleted(t, later)
}

// In each of these states a slip is used up although its run has not begun.
func TestUsedUpSlipIsReplaced(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"ended while operations was away": `state = 'completed', finalized_at = now()`,
		"discarded by River":              `state = 'discarded', finalized_at = now()`,
		"left by a killed process":        `state = 'running', attempted_at = now() - interval '1 minute'`,
	}
	for name, how := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			worker := w.worker(t, done)
			id := w.store.Add(syncType)
			if err := worker.insert(t.Context(), []slip{{RunID: id}}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.db.Pool.Exec(t.Context(), "update river.river_job set "+how); err != nil {
				t.Fatal(err)
			}
			run(t, worker)
			w.store.UntilCompleted(t, id)
		})
	}
}

func TestSlipOfALiveWorkerIsNotReplaced(t *testing.T) {
	t.Parallel()
	w := setup(t)
	worker := w.worker(t, done)
	for range 2 {
		if err := worker.insert(t.Context(), []slip{{RunID: 1}, {RunID: 1, Epoch: 2}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Pool.Exec(t.Context(), "update river.river_job set state = 'running', attempted_at = now()"); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := w.db.Pool.QueryRow(t.Context(), "select count(*) from river.river_job").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 2 {
		t.Errorf("%d slips, want one for each epoch", n)
	}
}

// Most sweeps find nothing to do. That is not an error.
func TestSweepWithNothingToDo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if err := w.worker(t, done).sweepOnce(t.Context()); err != nil {
		t.Fatalf("sweep: %v", err)
	}
}
