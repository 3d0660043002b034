// Package watch sends watchers the changes of runs: at once, in order, each event once.
//
//	commits of this process ─┐
//	hints of other replicas ─┼─wake─► Hub reads new events, ─► mailbox ─► watcher ─► client
//	a poll, once a second ───┘        once for all watchers  ─► mailbox ─► watcher ─► client
//
// A watcher first joins the hub, so that its mailbox receives all changes from then on.
// Then it reads on its own, and only then opens its mailbox:
//
//	new watch   join │ read a snapshot of the runs │ mailbox ►
//	resumed     join │ read events since the token │ mailbox ►
//	                   what it read may also be in the mailbox: it skips events of
//	                   transactions that its snapshot sees (see package snapshot)
//
// The package keeps nothing that a restart could lose, and decides nothing about runs.
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
	pace    = 20 * time.Millisecond  // from one reading to the next, at least
	retell  = 250 * time.Millisecond // from one progress of a run to the next, at least
	batch   = 250                    // events in one reading
	mailbox = 1024                   // changes that may wait for a watcher
	reading = 5 * time.Second        // the longest that a reading may take
)

// Hub reads the changes in all workspaces that have watchers, once for all of them.
// Without watchers it reads nothing.
type Hub struct {
	store *store.Store
	log   *slog.Logger
	name  string // of this replica, in its hints

	poll     time.Duration // from one reading to the next, at most
	silence  time.Duration // after which the listening connection is pinged
	bookmark time.Duration // after which a watcher without changes gets a new token

	wake  chan struct{} // there may be something to read: see the next two
	moved atomic.Bool   // there may be new events
	scan  atomic.Bool   // runs may have reported progress to another replica
	say   hints

	turn chan struct{} // a lock that a context can give up: nobody joins during a reading

	progress progress

	mu     sync.Mutex
	at     snapshot.Position // everything up to here was delivered
	rooms  map[int64]map[*watcher]struct{}
	closed chan struct{}
	bodies sync.WaitGroup // the goroutines of watchers
}

// New returns a hub for the changes in st. It works while [Hub.Run] does. Call New before
// the first call of st.
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

// committed is called in every call that committed something, so it only sets flags.
func (h *Hub) committed() {
	h.moved.Store(true)
	nudge(h.wake)
	h.say.moved.Store(true)
	nudge(h.say.wake)
}

// reported is called with runs that reported progress to this replica.
func (h *Hub) reported(ids []int64) {
	if on, _ := h.progress.add(ids); on { // if there was no room for some, the poll finds them
		nudge(h.wake)
	}
	h.say.reported.Store(true)
	nudge(h.say.wake)
}

// nudge sends to c, unless something waits there.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run works until ctx ends. Then it ends every watch with an error that lets the client
// resume, and waits for all watchers.
func (h *Hub) Run(ctx context.Context) {
	var group errgroup.Group
	group.Go(func() error { h.readOn(ctx); return nil })
	group.Go(func() error { h.hint(ctx); return nil })
	group.Go(func() error { h.listen(ctx); return nil })
	_ = group.Wait() // none of them fails
	h.bodies.Wait()
}

// readOn reads whenever it is woken.
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

// read delivers what is new to the watchers.
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

// readEvents delivers the events after a position. If there are too many, it cuts all
// watchers off.
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

// takeTurn locks the hub for a reading or a join. It reports false if ctx ended before.
func (h *Hub) takeTurn(ctx context.Context) bool {
	select {
	case h.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (h *Hub) endTurn() { <-h.turn }

// watched returns the workspaces that have watchers, and the position up to which
// everything was delivered.
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

// deliver puts changes into the mailboxes of the watchers they concern. It cuts off a
// watcher whose mailbox is full, so that the others need not wait.
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

// giveUp cuts all watchers off. There are so many events that it is cheaper for them to
// begin again with a snapshot.
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

// remove takes w out of its room. The caller holds the lock.
func (h *Hub) remove(w *watcher) {
	room := h.rooms[w.filter.WorkspaceID]
	delete(room, w)
	if len(room) == 0 {
		delete(h.rooms, w.filter.WorkspaceID)
	}
}

// join adds w: its mailbox receives everything that is committed after join returns.
func (h *Hub) join(ctx context.Context, w *watcher) error {
	if !h.takeTurn(ctx) {
		return ctx.Err()
	}
	defer h.endTurn()
	workspaces, at := h.watched()
	if len(workspaces) == 0 { // without watchers, nothing was read: the position is old
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

var errDraining = errs.Unavailable("DRAINING", "the service is restarting; resume with the last resume_token").RetryIn(time.Second)

// Filter selects the runs of a watcher.
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
