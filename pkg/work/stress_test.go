package work

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// Workers are started and stopped at any instant, two at a time, while there is
// work: each stops, every run ends in the end, and TestMain finds what is left.
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
