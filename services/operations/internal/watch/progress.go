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

// most bounds how many runs may wait to be told of; the poll finds the rest.
const most = 10_000

// progress knows which runs have reported and what watchers were told last: the
// first report is told at once, later ones as the latest value four times a second.
type progress struct {
	mu    sync.Mutex
	on    bool               // somebody watches
	dirty map[int64]struct{} // reported, and not told yet

	// The rest belongs to who has the hub's turn.
	told    map[int64]telling
	digests map[int64]string // of what was reported, as of the last scan
	scanned time.Time
}

type telling struct {
	at     time.Time
	counts map[string]int64
}

// forget is for when nobody watches.
func (p *progress) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = false
	p.dirty, p.told, p.digests = map[int64]struct{}{}, map[int64]telling{}, map[int64]string{}
}

// add reports whether there is anybody to tell, and for which runs there was no room.
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

// addSeen is add for runs whose digest is known: for which there was no room, the
// next scan finds again.
func (p *progress) addSeen(ids []int64) {
	_, left := p.add(ids)
	for _, id := range left {
		delete(p.digests, id)
	}
}

// waiting reports whether there are runs to tell of, now or in a moment.
func (p *progress) waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.dirty) > 0
}

// due takes the runs that may be told of now.
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

// knows notes what events tell of counters anyway.
func (p *progress) knows(changes []store.Change) {
	for _, c := range changes {
		if c.Run.Status == run.Running {
			p.told[c.Run.ID] = telling{at: p.told[c.Run.ID].at, counts: c.Run.Counts}
		} else {
			delete(p.told, c.Run.ID)
		}
	}
}

// baseline takes what was reported so far as known: a new watcher's snapshot has it.
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

// readProgress tells watchers the latest counters of runs that reported.
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
			continue // what else happened to it, its event says
		}
		p.told[r.ID] = telling{at: now, counts: r.Counts}
		changes = append(changes, store.Change{Run: r, At: at})
	}
	h.deliver(changes, at)
	return nil
}

// look finds the runs that reported to other replicas.
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
	for id := range p.told { // ended, or of a workspace that nobody watches any more
		if _, leased := reported[id]; !leased {
			delete(p.told, id)
		}
	}
	p.addSeen(ids)
	return nil
}

func (h *Hub) position() snapshot.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}
