package live

import (
	"context"
	"log/slog"
	"sync"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

const (
	watchAgain = 500 * time.Millisecond // before a lost stream is opened again
	mailboxMax = 5000                   // runs; a viewer who is further behind reads them all again
)

// hub opens one stream at operations for each workspace that has viewers, and puts
// what it tells into their mailboxes.
type hub struct {
	runs  operationsv1.RunReaderServiceClient
	carry func(context.Context, actor.Actor) (context.Context, error)
	log   *slog.Logger

	mu      sync.Mutex
	watches map[int64]*watch // by workspace
}

// watch is the stream of one workspace, with the mailboxes of its viewers.
type watch struct {
	workspace int64
	boxes     map[*mailbox]struct{}
	token     string // position to resume from; only the watch's own goroutine uses it
	end       context.CancelFunc
	ended     chan struct{}
}

// mailbox holds what one viewer has not taken yet. Of each run it holds the latest
// change only.
type mailbox struct {
	wants selection
	ready chan struct{} // has a value if there may be something to take

	// The rest is under the hub's lock.
	who    actor.Actor
	latest map[int64]*news
	token  string // position: every change up to it is in the mailbox or was taken
	lost   bool   // changes may be missing, so the viewer must read the runs themselves
}

// news is a change with its frame, which is written once for all viewers.
type news struct {
	*operationsv1.RunChange
	frame func() ([]byte, error)
}

func newsOf(change *operationsv1.RunChange) *news {
	return &news{change, sync.OnceValues(func() ([]byte, error) { return frameOf(change) })}
}

// join returns a mailbox for the viewer who, which is told of the runs of workspace
// that wants selects, from now on. It does not tell what happened before; its viewer
// reads that. A viewer that joins must leave.
func (h *hub) join(ctx context.Context, workspace int64, wants selection, who actor.Actor) *mailbox {
	h.mu.Lock()
	defer h.mu.Unlock()
	box := &mailbox{wants: wants, who: who, ready: make(chan struct{}, 1), latest: map[int64]*news{}, lost: true}
	box.ready <- struct{}{}
	w := h.watches[workspace]
	if w == nil {
		ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // the watch outlives this viewer if others come
		w = &watch{workspace: workspace, boxes: map[*mailbox]struct{}{}, end: end, ended: make(chan struct{})}
		h.watches[workspace] = w
		go h.follow(ctx, w)
	}
	w.boxes[box] = struct{}{}
	return box
}

// leave removes the mailbox. The last viewer of a workspace ends its watch and waits
// until it has ended.
func (h *hub) leave(workspace int64, box *mailbox) {
	h.mu.Lock()
	w := h.watches[workspace]
	delete(w.boxes, box)
	last := len(w.boxes) == 0
	if last {
		delete(h.watches, workspace)
	}
	h.mu.Unlock()
	if last {
		w.end()
		<-w.ended
	}
}

// recognised replaces the viewer of the mailbox by who, the same user resolved anew.
func (h *hub) recognised(box *mailbox, who actor.Actor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	box.who = who
}

// missed marks the mailbox as having lost changes.
func (h *hub) missed(box *mailbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	box.lost = true
}

// take empties the mailbox and returns what was in it.
func (h *hub) take(box *mailbox) (latest map[int64]*news, token string, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	latest, token, lost = box.latest, box.token, box.lost
	box.latest, box.lost = map[int64]*news{}, false
	return latest, token, lost
}

// follow keeps the stream of a watch open until ctx ends.
func (h *hub) follow(ctx context.Context, w *watch) {
	defer close(w.ended)
	for {
		err := h.listen(ctx, w)
		if ctx.Err() != nil {
			return
		}
		if unresumable(err) {
			w.token = ""
		}
		h.log.InfoContext(ctx, "watch of runs is opened again", "workspace_id", w.workspace, "err", err)
		if pause.For(ctx, watchAgain) != nil {
			return
		}
	}
}

// unresumable reports whether err means that operations cannot go on from the
// position it was given, so that a watch must begin without one.
func unresumable(err error) bool {
	return errs.HasReason(err, operationsv1.RunReason_RUN_REASON_INVALID_RESUME_TOKEN, operationsv1.RunReason_RUN_REASON_RESUME_TOKEN_TOO_OLD)
}

// listen opens the stream of a watch and posts what it tells, until it breaks.
func (h *hub) listen(ctx context.Context, w *watch) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, err := h.onBehalf(ctx, w)
	if err != nil {
		return err
	}
	anew := w.token == ""
	stream, err := h.runs.WatchRuns(ctx, &operationsv1.WatchRunsRequest{WorkspaceId: w.workspace, ResumeToken: w.token})
	if err != nil {
		return err
	}
	for {
		told, err := stream.Recv()
		if err != nil {
			return err
		}
		if told.GetSnapshot() != nil {
			continue // the bookmark that follows makes the viewers read the runs themselves
		}
		w.token = told.GetResumeToken()
		h.post(w, told, anew)
		anew = false
	}
}

// onBehalf returns ctx carrying one of the watch's viewers. Any of them will do: all
// may see the runs of the workspace.
func (h *hub) onBehalf(ctx context.Context, w *watch) (context.Context, error) {
	h.mu.Lock()
	var who actor.Actor
	for box := range w.boxes {
		who = box.who
		break
	}
	h.mu.Unlock()
	return h.carry(ctx, who)
}

// post puts a change into the mailboxes that want it, and the position into all. If
// the stream began anew, without a position, every mailbox may have lost changes.
func (h *hub) post(w *watch, told *operationsv1.WatchRunsResponse, anew bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var change *news
	if told.GetChange() != nil {
		change = newsOf(told.GetChange())
	}
	for box := range w.boxes {
		box.token = told.GetResumeToken()
		box.lost = box.lost || anew
		if change != nil && box.wants.has(change.GetRun()) {
			box.keep(change)
		} else if !anew {
			continue
		}
		select {
		case box.ready <- struct{}{}:
		default:
		}
	}
}

func (b *mailbox) keep(change *news) {
	if len(b.latest) >= mailboxMax {
		b.lost = true
		clear(b.latest)
	}
	b.latest[change.GetRun().GetId()] = change
}
