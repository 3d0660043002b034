package web

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	watchAgain = 500 * time.Millisecond // before a lost stream is opened again
	mailboxMax = 5000                   // runs; who is further behind looks at them all again
)

// watches is what we hear from operations of runs: one stream for each workspace
// that somebody follows, however many do.
type watches struct {
	reader   operationsv1.RunReaderServiceClient
	identity *identity
	log      *slog.Logger

	mu    sync.Mutex
	rooms map[int64]*room
}

// room is everybody who follows runs of one workspace.
type room struct {
	workspace int64
	boxes     map[*mailbox]struct{}
	token     string // where the stream goes on from; its goroutine's
	end       context.CancelFunc
	ended     chan struct{}
}

// mailbox is what one follower has not taken yet: of each run the latest.
type mailbox struct {
	wants selection
	ready chan struct{}

	// under the watches' lock
	who    actor.Actor
	latest map[int64]*news
	token  string // everything up to here is in the mailbox, or was taken
	lost   bool   // something may be missing: look at the runs themselves
}

// news is a change for all who follow: however many they are, it is written once.
type news struct {
	*operationsv1.RunChange
	frame func() ([]byte, error)
}

func newsOf(change *operationsv1.RunChange) *news {
	return &news{change, sync.OnceValues(func() ([]byte, error) { return frameOf(change) })}
}

// join answers a mailbox that hears of the runs of a workspace that wants names,
// from now on, on behalf of who; what was before is for the follower to look at.
// Whoever joins must leave.
func (s *watches) join(ctx context.Context, workspace int64, wants selection, who actor.Actor) *mailbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := &mailbox{wants: wants, who: who, ready: make(chan struct{}, 1), latest: map[int64]*news{}, lost: true}
	box.ready <- struct{}{}
	r := s.rooms[workspace]
	if r == nil {
		ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // it outlives this follower if others come
		r = &room{workspace: workspace, boxes: map[*mailbox]struct{}{}, end: end, ended: make(chan struct{})}
		s.rooms[workspace] = r
		go s.follow(ctx, r)
	}
	r.boxes[box] = struct{}{}
	return box
}

// leave ends the workspace's stream if nobody is left, and waits for its end.
func (s *watches) leave(workspace int64, box *mailbox) {
	s.mu.Lock()
	r := s.rooms[workspace]
	delete(r.boxes, box)
	last := len(r.boxes) == 0
	if last {
		delete(s.rooms, workspace)
	}
	s.mu.Unlock()
	if last {
		r.end()
		<-r.ended
	}
}

// recognised is for a follower who was recognised again.
func (s *watches) recognised(box *mailbox, who actor.Actor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	box.who = who
}

// missed is for a follower who could not look.
func (s *watches) missed(box *mailbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	box.lost = true
}

// take empties the mailbox.
func (s *watches) take(box *mailbox) (latest map[int64]*news, token string, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	latest, token, lost = box.latest, box.token, box.lost
	box.latest, box.lost = map[int64]*news{}, false
	return latest, token, lost
}

// follow keeps a room's stream open until ctx ends.
func (s *watches) follow(ctx context.Context, r *room) {
	defer close(r.ended)
	for {
		err := s.listen(ctx, r)
		if ctx.Err() != nil {
			return
		}
		if unresumable(err) {
			r.token = ""
		}
		s.log.InfoContext(ctx, "watch of runs is opened again", "workspace_id", r.workspace, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
	}
}

// unresumable reports that a watch must begin anew.
func unresumable(err error) bool {
	return errs.HasReason(err, operationsv1.RunReason_RUN_REASON_INVALID_RESUME_TOKEN, operationsv1.RunReason_RUN_REASON_RESUME_TOKEN_TOO_OLD)
}

// listen hands what one stream says to the room.
func (s *watches) listen(ctx context.Context, r *room) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, err := s.onBehalf(ctx, r)
	if err != nil {
		return err
	}
	anew := r.token == ""
	stream, err := s.reader.WatchRuns(ctx, &operationsv1.WatchRunsRequest{WorkspaceId: r.workspace, ResumeToken: r.token})
	if err != nil {
		return err
	}
	for {
		told, err := stream.Recv()
		if err != nil {
			return err
		}
		if told.GetSnapshot() != nil {
			continue // followers look for themselves, at the bookmark after it
		}
		r.token = told.GetResumeToken()
		s.post(r, told, anew)
		anew = false
	}
}

// onBehalf is ctx for one of the room's followers: any of them may see it.
func (s *watches) onBehalf(ctx context.Context, r *room) (context.Context, error) {
	s.mu.Lock()
	var who actor.Actor
	for box := range r.boxes {
		who = box.who
		break
	}
	s.mu.Unlock()
	return s.identity.carry(ctx, who)
}

func (s *watches) post(r *room, told *operationsv1.WatchRunsResponse, anew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var change *news
	if told.GetChange() != nil {
		change = newsOf(told.GetChange())
	}
	for box := range r.boxes {
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
