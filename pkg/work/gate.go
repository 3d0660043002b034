package work

import (
	"context"
	"slices"
	"sync"
)

// who is for whom a run works: a workspace, and a tenant of it or 0.
type who struct{ workspace, tenant int64 }

// gate counts the places of this process. A run holds one from the moment its slip
// is fetched until its job has returned. A run that only waits for Graph's quota is
// parked: it has no place, and takes one again before it goes on.
//
// A run that waited may go on at once while its workspace holds less than its
// share. Beyond that it waits until no slip of another workspace wants the place.
type gate struct {
	places int // runs at work at once
	share  int // of a workspace, while others wait
	most   int // runs parked at once

	mu        sync.Mutex
	held      map[int64]who // by slip
	parked    map[int64]who
	returning []*returning  // in the order they came
	changed   chan struct{} // closed and replaced when a place becomes free
}

// returning is a parked run that wants a place again.
type returning struct {
	slip int64
	who  who
	got  chan struct{}
}

func newGate(c Config) *gate {
	return &gate{
		places: c.Workers, share: c.WorkspaceShare, most: c.MaxWaiting,
		held: map[int64]who{}, parked: map[int64]who{}, changed: make(chan struct{}),
	}
}

// free returns how many places are free, and a channel that closes when one more is.
func (g *gate) free() (int, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.places - len(g.held), g.changed
}

// take gives a place to the run of a slip that was just fetched.
func (g *gate) take(slip int64, w who) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[slip] = w
}

// leave gives back what the run of a slip had.
func (g *gate) leave(slip int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.held, slip)
	delete(g.parked, slip)
	g.freed()
}

// park gives the place of a run up, and reports whether it did: only so many runs
// may be parked at once, since each keeps what it has read in memory.
func (g *gate) park(slip int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	w, ok := g.held[slip]
	if !ok || len(g.parked) >= g.most {
		return false
	}
	delete(g.held, slip)
	g.parked[slip] = w
	g.freed()
	return true
}

// unpark waits for a place for a parked run. It also returns when ctx ends: the job
// then has only to stop, and needs no place for that.
func (g *gate) unpark(ctx context.Context, slip int64) {
	g.mu.Lock()
	w, ok := g.parked[slip]
	if !ok {
		g.mu.Unlock()
		return
	}
	r := &returning{slip: slip, who: w, got: make(chan struct{})}
	g.returning = append(g.returning, r)
	g.freed()
	g.mu.Unlock()
	select {
	case <-r.got:
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		g.returning = slices.DeleteFunc(g.returning, func(o *returning) bool { return o == r })
	}
}

// freed gives free places to returning runs of workspaces below their share, and
// wakes the fetch; g.mu is held.
func (g *gate) freed() {
	for _, r := range slices.Clone(g.returning) {
		if len(g.held) < g.places && g.holds(r.who.workspace) < g.share {
			g.admit(r)
		}
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// letOver gives free places but the last to returning runs of workspaces that have
// their share already: nobody else wants them.
func (g *gate) letOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.returning) > 0 && g.places-len(g.held) > g.spare() {
		g.admit(g.returning[0])
	}
}

// spare is how many places are never given to a workspace beyond its share, so that
// a run of another begins at once, however long the runs at work take.
func (g *gate) spare() int { return min(1, g.places-1) }

func (g *gate) admit(r *returning) {
	delete(g.parked, r.slip)
	g.held[r.slip] = r.who
	g.returning = slices.DeleteFunc(g.returning, func(o *returning) bool { return o == r })
	close(r.got)
}

// holds returns how many places a workspace holds; g.mu is held.
func (g *gate) holds(workspace int64) int {
	n := 0
	for _, w := range g.held {
		if w.workspace == workspace {
			n++
		}
	}
	return n
}

// room is what a workspace or a tenant has of this process's places.
type room struct {
	free   int // places
	holds  map[int64]int
	parked map[who]int
}

func (g *gate) room() room {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := room{free: g.places - len(g.held), holds: map[int64]int{}, parked: map[who]int{}}
	for _, w := range g.held {
		r.holds[w.workspace]++
	}
	for _, w := range g.parked {
		r.parked[w]++
	}
	return r
}

// slips returns the slips whose runs are at work or parked here.
func (g *gate) slips() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	ids := make([]int64, 0, len(g.held)+len(g.parked))
	for id := range g.held {
		ids = append(ids, id)
	}
	for id := range g.parked {
		ids = append(ids, id)
	}
	return ids
}
