package work

import "testing"

// The usual sweep finds nothing, and that is no failure.
func TestSweepWithNothingToDo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if err := w.worker(t, done).sweepOnce(t.Context()); err != nil {
		t.Fatalf("sweep: %v", err)
	}
}
