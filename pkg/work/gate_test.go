package work

import (
	"context"
	"testing"
	"testing/synctest"
)

// A full gate of four places, two for a workspace, with three runs of workspace 1
// and one of workspace 2.
func fullGate() *gate {
	g := newGate(Config{Settings: Settings{Workers: 4, WorkspaceShare: 2, MaxWaiting: 2}})
	g.take(1, who{1, 1})
	g.take(2, who{1, 2})
	g.take(3, who{1, 3})
	g.take(4, who{2, 9})
	return g
}

func free(g *gate) int {
	n, _ := g.free()
	return n
}

func TestParkedRunsHaveNoPlace(t *testing.T) {
	t.Parallel()
	g := fullGate()
	if !g.park(1) || !g.park(2) || free(g) != 2 {
		t.Errorf("two runs wait and %d places are free", free(g))
	}
	if g.park(3) || free(g) != 2 {
		t.Error("more runs wait than may")
	}
	g.unpark(t.Context(), 1) // workspace 1 holds one place of its two
	if free(g) != 1 || len(g.slips()) != 4 {
		t.Errorf("%d places are free, %d runs are there", free(g), len(g.slips()))
	}
	g.unpark(t.Context(), 99)
	for slip := range int64(5) {
		g.leave(slip)
	}
	if free(g) != 4 || len(g.slips()) != 0 {
		t.Errorf("all have left and %d places are free", free(g))
	}
}

func TestReturningRunWaitsForAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fullGate()
		g.park(1)
		g.take(5, who{2, 9})
		returned := false
		go func() { g.unpark(t.Context(), 1); returned = true }()
		synctest.Wait()
		if returned {
			t.Error("five runs are at work in four places")
		}
		g.leave(5) // workspace 1 has its share already, but nobody else waits
		synctest.Wait()
		g.letOver()
		synctest.Wait()
		if returned {
			t.Error("the last place was given to a workspace beyond its share")
		}
		g.leave(4)
		g.letOver()
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
		g.park(1)
		g.take(5, who{3, 9})
		returned := false
		go func() { g.unpark(t.Context(), 1); returned = true }()
		synctest.Wait()
		g.leave(2)
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
		g.park(1)
		g.take(5, who{2, 9})
		ctx, stop := context.WithCancel(t.Context())
		returned := false
		go func() { g.unpark(ctx, 1); returned = true }()
		synctest.Wait()
		stop()
		synctest.Wait()
		if !returned || len(g.returning) != 0 {
			t.Errorf("returned %t, %d still want a place", returned, len(g.returning))
		}
	})
}
