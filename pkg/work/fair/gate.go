// Package fair decides whose run begins next: which workspace, and which of its tenants.
// It reads no queue and starts nothing: pkg/work does.
package fair

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Owner is the workspace that a run belongs to, and its tenant or 0.
type Owner struct{ Workspace, Tenant int64 }

// Gate counts the places of this process. A run holds one from the moment its slip
// is fetched until its job has returned. A run that only waits for Graph's quota is
// parked: it has no place, and takes one again before it goes on.
//
// A parked run goes on at once while its workspace holds less than its share. Beyond
// that it waits until no slip of another workspace wants the place.
type Gate struct {
	places int // runs at work at once
	share  int // of a workspace, while others wait
	most   int // runs parked at once

	mu        sync.Mutex
	held      map[int64]Owner // by slip
	parked    map[int64]*parked
	waits     map[Owner]time.Time // until when a tenant waits; see park.go
	returning []*returning        // in the order they came
	changed   chan struct{}       // closed and replaced when a place becomes free
}

// returning is a parked run that wants a place again.
type returning struct {
	slip int64
	of   Owner
	got  chan struct{}
}

// NewGate returns a gate with places for runs at work. share is how many of them a
// workspace may hold while others wait, and most how many runs may be parked at once.
func NewGate(places, share, most int) *Gate {
	return &Gate{
		places: places, share: share, most: most,
		held: map[int64]Owner{}, parked: map[int64]*parked{}, waits: map[Owner]time.Time{}, changed: make(chan struct{}),
	}
}

// Free returns how many places are free, and a channel that closes when one more is.
func (g *Gate) Free() (int, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.places - len(g.held), g.changed
}

// Take gives a place to the run of a slip that was just fetched.
func (g *Gate) Take(slip int64, w Owner) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[slip] = w
}

// Leave gives back the place of a slip, or forgets its parked run.
func (g *Gate) Leave(slip int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.held, slip)
	delete(g.parked, slip)
	g.freed()
}

// Unpark waits for a place for a parked run. It also returns when ctx ends or the run is
// to be given back: the job then has only to stop, and needs no place for that.
func (g *Gate) Unpark(ctx context.Context, slip int64) {
	g.mu.Lock()
	p, ok := g.parked[slip]
	if !ok || p.leaves {
		g.mu.Unlock()
		return
	}
	r := &returning{slip: slip, of: p.of, got: make(chan struct{})}
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
// tells those who wait for a place; g.mu is held.
func (g *Gate) freed() {
	for _, r := range slices.Clone(g.returning) {
		if len(g.held) < g.places && g.holds(r.of.Workspace) < g.share {
			g.admit(r)
		}
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// LetOver gives all free places but the last to returning runs of workspaces that have
// their share already. It is for when no slip wants these places.
func (g *Gate) LetOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.returning) > 0 && g.places-len(g.held) > g.spare() {
		g.admit(g.returning[0])
	}
}

// spare is how many places a workspace beyond its share never gets, so that a run of
// another workspace begins at once, however long the runs at work take.
func (g *Gate) spare() int { return min(1, g.places-1) }

func (g *Gate) admit(r *returning) {
	delete(g.parked, r.slip)
	g.held[r.slip] = r.of
	g.returning = slices.DeleteFunc(g.returning, func(o *returning) bool { return o == r })
	close(r.got)
}

// holds returns how many places a workspace holds; g.mu is held.
func (g *Gate) holds(workspace int64) int {
	n := 0
	for _, w := range g.held {
		if w.Workspace == workspace {
			n++
		}
	}
	return n
}

// room is who has this process's places.
type room struct {
	free   int // places
	holds  map[int64]int
	parked map[Owner]int
	waits  map[Owner]bool
}

func (g *Gate) room() room {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := room{free: g.places - len(g.held), holds: map[int64]int{}, parked: map[Owner]int{}, waits: g.waiting()}
	for _, w := range g.held {
		r.holds[w.Workspace]++
	}
	for _, p := range g.parked {
		r.parked[p.of]++
	}
	return r
}

// Slips returns the slips whose runs are at work or parked here.
func (g *Gate) Slips() []int64 {
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

// Returning returns how many parked runs wait for a place.
func (g *Gate) Returning() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.returning)
}

// Choice returns the choice for the places that are free now.
func (g *Gate) Choice(active Census) Choice {
	return Choice{Active: active, room: g.room(), share: g.share, spare: g.spare()}
}

// Unlimited returns c without limits, when no run below a limit wants the places that
// are free. Returning runs get theirs first.
func (g *Gate) Unlimited(c Choice) Choice {
	g.LetOver()
	c.room, c.over = g.room(), true
	return c
}
