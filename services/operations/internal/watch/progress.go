package watch

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// most is how many runs with progress may wait to be delivered. The poll finds the others.
const most = 10_000

// progress remembers which runs have reported counters, and which counters watchers have.
// The first report of a run is delivered at once; of later ones the latest, four times a
// second.
type progress struct {
	mu    sync.Mutex
	on    bool               // there are watchers
	dirty map[int64]struct{} // runs that reported and were not delivered since

	// Only the goroutine that has the hub's turn uses the rest.
	told    map[int64]telling
	digests map[int64]string // of the counters of each run, at the last scan
	scanned time.Time
}

// telling is what watchers know of a run.
type telling struct {
	at     time.Time
	counts map[string]int64
}

// forget forgets everything; it is called when there are no watchers.
func (p *progress) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = false
	p.dirty, p.told, p.digests = map[int64]struct{}{}, map[int64]telling{}, map[int64]string{}
}

// add notes that runs have reported. It returns whether there are watchers, and the runs
// for which there was no room.
func (p *progress) add(ids []int64) (on bool, left []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on {
		return false, nil
	}
	taken := min(len(ids), max(0, most-len(p.dirty)))
	for _, id := range ids[:taken] {
		p.dirty[id] = struct{}{}
	}
	return true, ids[taken:]
}

// addSeen is add for runs whose digest is known. It forgets the digests of runs for which
// there was no room, so that the next scan finds them again.
func (p *progress) addSeen(ids []int64) {
	_, left := p.add(ids)
	for _, id := range left {
		delete(p.digests, id)
	}
}

// waiting reports whether there are runs to deliver, now or soon.
func (p *progress) waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.dirty) > 0
}

// due removes and returns the runs that may be delivered at now.
func (p *progress) due(now time.Time) []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []int64
	for id := range p.dirty {
		if now.Sub(p.told[id].at) >= retell {
			ids = append(ids, id)
			delete(p.dirty, id)
		}
	}
	return ids
}

// knows notes the counters that watchers get with events.
func (p *progress) knows(changes []store.Change) {
	for _, c := range changes {
		if c.Run.Status == run.Running {
			p.told[c.Run.ID] = telling{at: p.told[c.Run.ID].at, counts: c.Run.Counts}
		} else {
			delete(p.told, c.Run.ID)
		}
	}
}

// baseline notes the counters of a workspace's runs as known to watchers: the snapshot of
// its first watcher contains them.
func (p *progress) baseline(ctx context.Context, st *store.Store, workspaceID int64) error {
	reported, err := st.Reported(ctx, []int64{workspaceID})
	if err != nil {
		return err
	}
	for id, digest := range reported {
		if _, known := p.digests[id]; !known {
			p.digests[id] = digest
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = true
	return nil
}

// readProgress delivers the latest counters of runs that reported.
func (h *Hub) readProgress(ctx context.Context, workspaces []int64) error {
	p := &h.progress
	now := time.Now()
	if now.Sub(p.scanned) >= retell && h.scan.Swap(false) {
		if err := p.look(ctx, h.store, workspaces); err != nil {
			return err
		}
		p.scanned = now
	}
	ids := p.due(now)
	if len(ids) == 0 {
		return nil
	}
	runs, err := h.store.Among(ctx, ids, workspaces)
	if err != nil {
		p.addSeen(ids)
		return err
	}
	at := h.position()
	var changes []store.Change
	for _, r := range runs {
		before, known := p.told[r.ID]
		if r.Status != run.Running || known && maps.Equal(before.counts, r.Counts) {
			continue // an event delivers every other change
		}
		p.told[r.ID] = telling{at: now, counts: r.Counts}
		changes = append(changes, store.Change{Run: r, At: at})
	}
	h.deliver(changes, at)
	return nil
}

// look finds the runs that reported to other replicas, by the digests of their counters.
func (p *progress) look(ctx context.Context, st *store.Store, workspaces []int64) error {
	reported, err := st.Reported(ctx, workspaces)
	if err != nil {
		return err
	}
	var ids []int64
	for id, digest := range reported {
		if p.digests[id] != digest {
			ids = append(ids, id)
		}
	}
	p.digests = reported
	for id := range p.told { // runs that ended, or whose workspace has no watchers any more
		if _, leased := reported[id]; !leased {
			delete(p.told, id)
		}
	}
	p.addSeen(ids)
	return nil
}

// position returns the position up to which everything was delivered.
func (h *Hub) position() snapshot.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}
