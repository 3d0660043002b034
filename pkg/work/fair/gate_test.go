package fair

import (
	"context"
	"testing"
	"testing/synctest"
)

// fullGate returns a full gate of four places, two for a workspace, with three runs of workspace 1
// and one of workspace 2.
func fullGate() *Gate {
	g := NewGate(4, 2, 2)
	g.Take(1, Owner{1, 1})
	g.Take(2, Owner{1, 2})
	g.Take(3, Owner{1, 3})
	g.Take(4, Owner{2, 9})
	return g
}

func free(g *Gate) int {
	n, _ := g.Free()
	return n
}

func TestParkedRunsHaveNoPlace(t *testing.T) {
	t.Parallel()
	g := fullGate()
	if !g.Park(1) || !g.Park(2) || free(g) != 2 {
		t.Errorf("two runs wait and %d places are free", free(g))
	}
	if g.Park(3) || free(g) != 2 {
		t.Error("more runs wait than may")
	}
	g.Unpark(t.Context(), 1) // workspace 1 holds one place of its two
	if free(g) != 1 || len(g.Slips()) != 4 {
		t.Errorf("%d places are free, %d runs are there", free(g), len(g.Slips()))
	}
	g.Unpark(t.Context(), 99)
	for slip := range int64(5) {
		g.Leave(slip)
	}
	if free(g) != 4 || len(g.Slips()) != 0 {
		t.Errorf("all have left and %d places are free", free(g))
	}
}

func TestReturningRunWaitsForAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fullGate()
		g.Park(1)
		g.Take(5, Owner{2, 9})
		returned := false
		go func() { g.Unpark(t.Context(), 1); returned = true }()
		synctest.Wait()
		if returned {
			t.Error("five runs are at work in four places")
		}
		g.Leave(5) // workspace 1 has its share already, but nobody else waits
		synctest.Wait()
		g.LetOver()
		synctest.Wait()
		if returned {
			t.Error("the last place was given to a workspace beyond its share")
		}
		g.Leave(4)
		g.LetOver()
		synctest.Wait()
		if !returned || free(g) != 1 {
			t.Errorf("returned %t, %d places are free", returned, free(g))
		}
	})
}

func TestReturningRunGoesOnBelowItsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fullGate()
		g.Park(1)
		g.Take(5, Owner{3, 9})
		returned := false
		go func() { g.Unpark(t.Context(), 1); returned = true }()
		synctest.Wait()
		g.Leave(2)
		synctest.Wait()
		if !returned {
			t.Error("it waits though a place is free and its workspace holds less than its share")
		}
	})
}

func TestReturningRunThatIsStoppedNeedsNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fullGate()
		g.Park(1)
		g.Take(5, Owner{2, 9})
		ctx, stop := context.WithCancel(t.Context())
		returned := false
		go func() { g.Unpark(ctx, 1); returned = true }()
		synctest.Wait()
		stop()
		synctest.Wait()
		if !returned || len(g.returning) != 0 {
			t.Errorf("returned %t, %d still want a place", returned, len(g.returning))
		}
	})
}
