// Package watch tells watchers what happens to runs: at once, in order, every
// event once. It reads the events that were committed, woken by this process's
// own commits, by hints of other replicas, and by a poll that needs neither. It
// keeps nothing that a restart could lose, and decides nothing about runs.
package watch

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

const (
	pace    = 20 * time.Millisecond // from one reading to the next; the first after a silence is at once
	retell  = 250 * time.Millisecond
	batch   = 250             // events read at once
	mailbox = 1024            // changes a watcher may be behind
	reading = 5 * time.Second // then the database is taken for gone
)

// Hub reads what happens in the workspaces somebody watches, once for all who
// watch. Without watchers it reads nothing.
type Hub struct {
	store *store.Store
	log   *slog.Logger
	name  string // of this replica, in its hints

	poll     time.Duration // readings without being woken
	silence  time.Duration // then the listening connection is looked after
	bookmark time.Duration // then a watcher is given a token

	wake  chan struct{} // read: one of the next two
	moved atomic.Bool   // there may be events
	scan  atomic.Bool   // runs may have reported to another replica
	say   hints

	turn chan struct{} // held by who reads, and by who joins: nobody joins between the question and the answer

	progress progress

	mu     sync.Mutex
	at     snapshot.Position // everything up to here was told
	rooms  map[int64]map[*watcher]struct{}
	closed chan struct{}
	bodies sync.WaitGroup // watchers being told something
}

// New answers a hub of what st commits; it works while [Hub.Run] does. It comes
// before the first call on st.
func New(st *store.Store, log *slog.Logger) *Hub {
	h := &Hub{
		store: st, log: log, name: rand.Text()[:8],
		poll: time.Second, silence: 5 * time.Second, bookmark: 15 * time.Second,
		wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		rooms: map[int64]map[*watcher]struct{}{}, closed: make(chan struct{}),
	}
	h.say.wake = make(chan struct{}, 1)
	h.progress.forget()
	st.OnCommit(h.committed, h.reported)
	return h
}

// committed is on the way of every call: it only leaves word.
func (h *Hub) committed() {
	h.moved.Store(true)
	nudge(h.wake)
	h.say.moved.Store(true)
	nudge(h.say.wake)
}

func (h *Hub) reported(ids []int64) {
	if on, _ := h.progress.add(ids); on { // the poll finds the others
		nudge(h.wake)
	}
	h.say.reported.Store(true)
	nudge(h.say.wake)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run works until ctx ends; then it ends every watch with a status that can be
// gone on from, and waits for them.
func (h *Hub) Run(ctx context.Context) {
	var group errgroup.Group
	group.Go(func() error { h.readOn(ctx); return nil })
	group.Go(func() error { h.hint(ctx); return nil })
	group.Go(func() error { h.listen(ctx); return nil })
	_ = group.Wait() // none of them fails
	h.bodies.Wait()
}

func (h *Hub) readOn(ctx context.Context) {
	defer h.close()
	tick := time.NewTicker(h.poll)
	defer tick.Stop()
	var failing bool
	for {
		var again <-chan time.Time
		if h.progress.waiting() || h.scan.Load() {
			again = time.After(retell / 4)
		}
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-again:
		case <-tick.C:
			h.moved.Store(true)
			h.scan.Store(true)
		}
		err := h.read(ctx)
		if ctx.Err() == nil && (err != nil) != failing {
			failing = err != nil
			h.log.WarnContext(ctx, "watch", "failing", failing, "err", err)
		}
		if pause.For(ctx, pace) != nil {
			return
		}
	}
}

// read tells watchers what is new.
func (h *Hub) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	if !h.takeTurn(ctx) {
		return ctx.Err()
	}
	defer h.endTurn()
	workspaces, at := h.watched()
	if len(workspaces) == 0 {
		h.progress.forget()
		h.scan.Store(false)
		return nil
	}
	if h.moved.Swap(false) {
		if err := h.readEvents(ctx, workspaces, at); err != nil {
			h.moved.Store(true) // the next poll tries again
			return err
		}
	}
	return h.readProgress(ctx, workspaces)
}

func (h *Hub) readEvents(ctx context.Context, workspaces []int64, at snapshot.Position) error {
	for {
		changes, next, err := h.store.Changes(ctx, at, workspaces, batch)
		if errors.Is(err, store.ErrTooFar) {
			return h.giveUp(ctx)
		}
		if err != nil {
			return err
		}
		h.progress.knows(changes)
		h.deliver(changes, next)
		if !next.More() {
			return nil
		}
		at = next
	}
}

func (h *Hub) takeTurn(ctx context.Context) bool {
	select {
	case h.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *Hub) endTurn() { <-h.turn }

func (h *Hub) watched() ([]int64, snapshot.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	workspaces := make([]int64, 0, len(h.rooms))
	for id := range h.rooms {
		workspaces = append(workspaces, id)
	}
	slices.Sort(workspaces)
	return workspaces, h.at
}

// deliver puts changes into the mailboxes of whom they concern. Who has no room
// left is cut off: the others do not wait.
func (h *Hub) deliver(changes []store.Change, at snapshot.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		for w := range h.rooms[c.Run.WorkspaceID] {
			if !w.filter.matches(c.Run) {
				continue
			}
			select {
			case w.mail <- c:
			default:
				h.remove(w)
				w.overflow()
			}
		}
	}
	h.at = at
}

// giveUp cuts everybody off: so much has happened that it is cheaper for them to
// begin again from a snapshot.
func (h *Hub) giveUp(ctx context.Context) error {
	now, err := h.store.Now(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, room := range h.rooms {
		for w := range room {
			h.remove(w)
			w.overflow()
		}
	}
	h.at = now
	return nil
}

// remove takes w out of its room, under the lock.
func (h *Hub) remove(w *watcher) {
	room := h.rooms[w.filter.WorkspaceID]
	delete(room, w)
	if len(room) == 0 {
		delete(h.rooms, w.filter.WorkspaceID)
	}
}

// join lets w hear of everything that is committed after join returns.
func (h *Hub) join(ctx context.Context, w *watcher) error {
	if !h.takeTurn(ctx) {
		return ctx.Err()
	}
	defer h.endTurn()
	workspaces, at := h.watched()
	if len(workspaces) == 0 { // nobody has read for a while
		var err error
		if at, err = h.store.Now(ctx); err != nil {
			return err
		}
	}
	if !slices.Contains(workspaces, w.filter.WorkspaceID) {
		if err := h.progress.baseline(ctx, h.store, w.filter.WorkspaceID); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
		return errDraining
	default:
	}
	room := h.rooms[w.filter.WorkspaceID]
	if room == nil {
		room = map[*watcher]struct{}{}
		h.rooms[w.filter.WorkspaceID] = room
	}
	room[w] = struct{}{}
	h.at = at
	h.bodies.Add(1)
	return nil
}

func (h *Hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(w)
}

func (h *Hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.closed)
}

var errDraining = errs.Unavailable("DRAINING", "the service is restarting; go on from the last resume_token").RetryIn(time.Second)

// Filter says which runs a watcher watches.
type Filter struct {
	WorkspaceID int64
	TenantID    *int64   // nil: all
	Types       []string // empty: all
	RunIDs      []int64  // empty: all
	ended       bool     // only runs that have ended
}

func (f Filter) matches(r *run.Run) bool {
	return (f.TenantID == nil || r.TenantID != nil && *r.TenantID == *f.TenantID) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, r.Type)) &&
		(len(f.RunIDs) == 0 || slices.Contains(f.RunIDs, r.ID)) &&
		(!f.ended || r.Status == run.Completed)
}
