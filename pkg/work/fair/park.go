package fair

import (
	"maps"
	"slices"
	"time"
)

// mostWaits bounds how many waiting tenants a process knows. A run of one that it does
// not know begins and finds out.
const mostWaits = 10_000

// parked is a run that has no place because it only waits.
type parked struct {
	of     Owner
	until  time.Time
	leaves bool // it was chosen to be given back, and its job is stopping
}

// Park gives up the place of a run that waits for d. Until then no further run of its
// tenant begins here.
//
// Each parked run keeps in memory what it has read. If too many are parked, Park returns
// the one that waits longest, perhaps the run itself, and for how much longer: the
// caller must stop its job and give the run back. Otherwise giveBack is 0.
func (g *Gate) Park(slip int64, d time.Duration) (giveBack int64, rest time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	of, ok := g.held[slip]
	if !ok {
		return 0, 0
	}
	now := time.Now()
	g.note(of, now, now.Add(d))
	delete(g.held, slip)
	g.parked[slip] = &parked{of: of, until: now.Add(d)}
	g.freed()
	giveBack = g.tooMany()
	if giveBack == 0 {
		return 0, 0
	}
	p := g.parked[giveBack]
	p.leaves = true
	return giveBack, max(0, p.until.Sub(now))
}

// tooMany returns the parked run that waits longest if more are parked than may, and
// otherwise 0. A run that wants its place again is not given back; g.mu is held.
func (g *Gate) tooMany() int64 {
	n, longest := 0, int64(0)
	for slip, p := range g.parked {
		if p.leaves {
			continue
		}
		n++
		back := slices.ContainsFunc(g.returning, func(r *returning) bool { return r.slip == slip })
		if !back && (longest == 0 || p.until.After(g.parked[longest].until)) {
			longest = slip
		}
	}
	if n <= g.most {
		return 0
	}
	return longest
}

// note remembers until when a tenant waits. Runs without a tenant have nothing in
// common that they would all wait for; g.mu is held.
func (g *Gate) note(o Owner, now, until time.Time) {
	if o.Tenant == 0 || until.Before(g.waits[o]) {
		return
	}
	if len(g.waits) >= mostWaits {
		g.forget(now)
	}
	if len(g.waits) < mostWaits {
		g.waits[o] = until
	}
}

// forget drops the tenants whose wait is over; g.mu is held.
func (g *Gate) forget(now time.Time) {
	maps.DeleteFunc(g.waits, func(_ Owner, until time.Time) bool { return !now.Before(until) })
}

// waiting returns the tenants that wait now; g.mu is held.
func (g *Gate) waiting() map[Owner]bool {
	g.forget(time.Now())
	out := make(map[Owner]bool, len(g.waits))
	for o := range g.waits {
		out[o] = true
	}
	return out
}
