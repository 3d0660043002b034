package watch

import (
	"context"
	"errors"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// The reasons for which a watch ends.
const (
	ReasonSlowConsumer = "SLOW_CONSUMER"
	ReasonTokenTooOld  = "RESUME_TOKEN_TOO_OLD"
)

// Told is one message to a watcher: a run as it was when the watch began, or a change, or,
// if neither is set, a bookmark.
type Told struct {
	Snapshot *run.Run
	Change   *store.Change
	At       snapshot.Position // where to resume; not set for a snapshot
}

const (
	snapshotPage = 500
	catchUpPage  = 1000
)

// watcher is one watch.
type watcher struct {
	hub    *Hub
	filter Filter
	mail   chan *store.Change
	known  snapshot.Snapshot // it has got everything that this sees

	// The hub's lock guards these.
	live bool          // it reads its mailbox
	over bool          // its mailbox was full
	cut  chan struct{} // closed when live and over
}

// Watch calls tell for the runs of f until ctx ends. Without a position it begins with a
// snapshot of the runs and a bookmark; with one, with the changes since. Then it tells
// every change. It returns an error of [errs]; the client may resume after the last
// message. Watch may return while tell still blocks, so tell must end with ctx.
func (h *Hub) Watch(ctx context.Context, f Filter, from *snapshot.Position, tell func(Told) error) error {
	w := &watcher{hub: h, filter: f, mail: make(chan *store.Change, mailbox), cut: make(chan struct{})}
	if err := h.join(ctx, w); err != nil {
		return err
	}
	defer h.leave(w)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer h.bodies.Done()
		ended <- w.follow(ctx, from, tell)
	}()
	select {
	case err := <-ended:
		return err
	case <-w.cut:
		return errs.Aborted(ReasonSlowConsumer, "more changes are waiting than are kept; resume with the last resume_token")
	case <-h.closed:
		return errDraining
	}
}

// Await returns when run r has ended, or when ctx or the hub ends. The caller must read
// the run again to know.
func (h *Hub) Await(ctx context.Context, r *run.Run) error {
	w := &watcher{
		hub: h, filter: Filter{WorkspaceID: r.WorkspaceID, RunIDs: []int64{r.ID}, ended: true},
		mail: make(chan *store.Change, 1), cut: make(chan struct{}), live: true,
	}
	if err := h.join(ctx, w); err != nil {
		if errors.Is(err, errDraining) || ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer h.bodies.Done() // joined, whatever has become of ctx meanwhile
	defer h.leave(w)
	now, err := h.store.Get(ctx, r.ID) // it may have ended before the join
	if ctx.Err() != nil {
		return nil
	}
	if err != nil || now.Status == run.Completed {
		return err
	}
	select {
	case <-w.mail:
	case <-w.cut:
	case <-h.closed:
	case <-ctx.Done():
	}
	return nil
}

// overflow cuts w off because its mailbox is full. The caller holds the hub's lock.
func (w *watcher) overflow() {
	w.over = true
	if w.live {
		close(w.cut)
	}
}

// goLive begins to read the mailbox of w. If it was full before, w is cut off now.
func (w *watcher) goLive() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.live = true
	if w.over {
		close(w.cut)
	}
}

// follow tells w everything: what was before it joined, then its mailbox.
func (w *watcher) follow(ctx context.Context, from *snapshot.Position, tell func(Told) error) error {
	begin := w.snapshot
	if from != nil {
		begin = func(ctx context.Context, tell func(Told) error) (snapshot.Position, error) {
			return w.catchUp(ctx, *from, tell)
		}
	}
	at, err := begin(ctx, tell)
	if err != nil {
		return err
	}
	w.known = at.After
	if err := tell(Told{At: at}); err != nil {
		return err
	}
	w.goLive()
	beat := time.NewTicker(w.hub.bookmark)
	defer beat.Stop()
	for {
		var next Told
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-w.mail:
			if c.Event != nil && w.known.Sees(c.Tx) {
				continue // already told, before the mailbox was opened
			}
			next = Told{Change: c, At: c.At.From(w.known)}
		case <-beat.C:
			at, all := w.hub.told(w)
			if !all {
				continue
			}
			next = Told{At: at.From(w.known)}
		}
		if err := tell(next); err != nil {
			return err
		}
	}
}

// told returns the position up to which everything was delivered, and whether w has read
// all of it.
func (h *Hub) told(w *watcher) (snapshot.Position, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at, len(w.mail) == 0
}

// snapshot tells the runs of w as they are, by page. Changes since then are in the mailbox.
func (w *watcher) snapshot(ctx context.Context, tell func(Told) error) (snapshot.Position, error) {
	at, err := w.hub.store.Now(ctx)
	if err != nil {
		return at, err
	}
	f := w.filter
	if len(f.RunIDs) > 0 {
		runs, err := w.hub.store.Among(ctx, f.RunIDs, []int64{f.WorkspaceID})
		if err != nil {
			return at, err
		}
		return at, w.show(runs, tell)
	}
	var after int64
	for {
		runs, err := w.hub.store.Active(ctx, f.WorkspaceID, f.TenantID, f.Types, after, snapshotPage)
		if err != nil {
			return at, err
		}
		if err := w.show(runs, tell); err != nil || len(runs) < snapshotPage {
			return at, err
		}
		after = runs[len(runs)-1].ID
	}
}

// show tells those of runs that w watches.
func (w *watcher) show(runs []*run.Run, tell func(Told) error) error {
	for _, r := range runs {
		if !w.filter.matches(r) {
			continue
		}
		if err := tell(Told{Snapshot: r}); err != nil {
			return err
		}
	}
	return nil
}

// catchUp tells the changes since from. Its last reading must begin after w joined:
// otherwise changes between that reading and the join would be missing, both in the
// reading and in the mailbox.
func (w *watcher) catchUp(ctx context.Context, from snapshot.Position, tell func(Told) error) (snapshot.Position, error) {
	fresh := !from.More()
	for {
		changes, next, err := w.hub.store.Changes(ctx, from, []int64{w.filter.WorkspaceID}, catchUpPage)
		if errors.Is(err, store.ErrTooFar) {
			return next, TooOld(err)
		}
		if err != nil {
			return next, err
		}
		if err := w.tellAll(changes, tell); err != nil {
			return next, err
		}
		if !next.More() && fresh {
			return next, nil
		}
		fresh = fresh || !next.More()
		from = next
	}
}

// tellAll tells those of changes that w watches.
func (w *watcher) tellAll(changes []store.Change, tell func(Told) error) error {
	for i := range changes {
		if !w.filter.matches(changes[i].Run) {
			continue
		}
		if err := tell(Told{Change: &changes[i], At: changes[i].At}); err != nil {
			return err
		}
	}
	return nil
}

// TooOld returns the error of a watch that cannot be resumed.
func TooOld(cause error) error {
	return errs.TooLate(ReasonTokenTooOld, "too many changes came since; begin again without a resume_token").Wrap(cause)
}
