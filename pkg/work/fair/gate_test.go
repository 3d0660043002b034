package fair

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
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
	if parks(g, 1, 60) != 0 || parks(g, 2, 50) != 0 || free(g) != 2 {
		t.Errorf("two runs wait and %d places are free", free(g))
	}
	if parks(g, 99, 1) != 0 || parks(g, 1, 1) != 0 || free(g) != 2 {
		t.Error("a run without a place has parked")
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

func parks(g *Gate, slip int64, seconds int) (giveBack int64) {
	giveBack, _ = g.Park(slip, time.Duration(seconds)*time.Second)
	return giveBack
}

// Short waits must not be given back for the sake of long ones: a run that always waits
// a little would never end.
func TestTheLongestWaitIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fullGate()
		parks(g, 1, 60)
		parks(g, 2, 50)
		time.Sleep(5 * time.Second) //nolint:forbidigo // the bubble's time
		if got, rest := g.Park(3, 2*time.Second); got != 1 || rest != 55*time.Second {
			t.Errorf("slip %d is given back, which waits for %s more", got, rest)
		}
		if got := parks(g, 4, 80); got != 4 || free(g) != 4 {
			t.Errorf("slip %d is given back, %d places are free", got, free(g))
		}
		g.Unpark(t.Context(), 1)
		if free(g) != 4 {
			t.Error("a run that is given back has taken a place")
		}
		g.Leave(1)
		g.Leave(4)
		if len(g.Slips()) != 2 {
			t.Errorf("%d runs are there", len(g.Slips()))
		}
	})
}

func TestWaitingTenantsAreKnownUntilTheirWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fullGate()
		g.Take(5, Owner{3, 0})
		parks(g, 1, 60)
		g.Leave(1) // it was given back; its tenant still waits
		parks(g, 5, 60)
		mayBegin := func() string { return fmt.Sprint(g.Choice(NewCensus()).Tenants(1, []int64{1, 2})) }
		if got := mayBegin(); got != "[2]" {
			t.Errorf("runs of %s may begin", got)
		}
		if c := g.Choice(NewCensus()); c.LookAtWorkspaces() != 2 || c.LookAtTenants(1) != 2 || c.LookAtTenants(3) != 1 {
			t.Errorf("looks at %d workspaces, at %d and %d tenants", c.LookAtWorkspaces(), c.LookAtTenants(1), c.LookAtTenants(3))
		}
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's time
		if got := mayBegin(); got != "[1 2]" || len(g.waits) != 0 {
			t.Errorf("runs of %s may begin, %d waits are known", got, len(g.waits))
		}
	})
}

func TestReturningRunWaitsForAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fullGate()
		parks(g, 1, 60)
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
		parks(g, 1, 60)
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
		parks(g, 1, 60)
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
