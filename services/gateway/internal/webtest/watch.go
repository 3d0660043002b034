package webtest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// Change changes run id as its worker would.
func (w *World) Change(id int64, f func(*operationsv1.Run)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.Runs[id])
	w.Runs[id].UpdateTime = timestamppb.Now()
	run, _ := proto.Clone(w.Runs[id]).(*operationsv1.Run)
	w.history = append(w.history, run)
	w.stir()
}

// stir is under the lock.
func (w *World) stir() {
	for c := range w.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// WatchRuns tells every change made by change. A token is how many were told.
func (w *World) WatchRuns(r *operationsv1.WatchRunsRequest, stream grpc.ServerStreamingServer[operationsv1.WatchRunsResponse]) error {
	if w.gone() {
		return errs.Unavailable("DRAINING", "come again")
	}
	if w.forgets(r.GetResumeToken()) {
		return errs.Invalid("resume_token", "is too old").WithReason("INVALID_RESUME_TOKEN")
	}
	changed := make(chan struct{}, 1)
	told, snapshot, cut := w.enter(r, changed)
	defer w.exit(changed)
	for _, run := range snapshot {
		if err := stream.Send(&operationsv1.WatchRunsResponse{What: &operationsv1.WatchRunsResponse_Snapshot{Snapshot: run}}); err != nil {
			return err
		}
	}
	bookmark := &operationsv1.WatchRunsResponse{What: &operationsv1.WatchRunsResponse_Bookmark{Bookmark: &operationsv1.Bookmark{}}}
	for {
		for _, run := range w.since(told, bookmark != nil) {
			told++
			err := stream.Send(&operationsv1.WatchRunsResponse{
				What:        &operationsv1.WatchRunsResponse_Change{Change: &operationsv1.RunChange{Run: run}},
				ResumeToken: fmt.Sprint(told),
			})
			if err != nil {
				return err
			}
		}
		if bookmark != nil {
			bookmark.ResumeToken = fmt.Sprint(told)
			if err := stream.Send(bookmark); err != nil {
				return err
			}
			bookmark = nil
		}
		select {
		case <-changed:
		case <-cut:
			return errs.Unavailable("DRAINING", "come again")
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (w *World) enter(r *operationsv1.WatchRunsRequest, changed chan struct{}) (told int, snapshot []*operationsv1.Run, cut chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchers[changed] = struct{}{}
	if r.GetResumeToken() != "" {
		told, _ = strconv.Atoi(r.GetResumeToken())
		return told, nil, w.cut
	}
	for _, run := range w.Runs {
		named := slices.Contains(r.GetRunIds(), run.GetId())
		if run.GetWorkspaceId() == r.GetWorkspaceId() && (named || len(r.GetRunIds()) == 0 && words.Active(run)) {
			run, _ = proto.Clone(run).(*operationsv1.Run)
			snapshot = append(snapshot, run)
		}
	}
	return len(w.history), snapshot, w.cut
}

// since is what was not told; to who has not just come, only as far as the lag lets.
func (w *World) since(told int, fresh bool) []*operationsv1.Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := len(w.history)
	if w.lagging && !fresh {
		end = max(told, w.upTo)
	}
	return w.history[told:end]
}

// Lag keeps the streams that are there behind those that are new: they tell the
// first changes only.
func (w *World) Lag(upTo int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lagging, w.upTo = true, upTo
	w.stir()
}

// CatchUp ends the lag.
func (w *World) CatchUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lagging = false
	w.stir()
}

func (w *World) exit(changed chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watchers, changed)
}

func (w *World) forgets(token string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if token == "" || token == "old" || w.forgot == 0 {
		return token == "old"
	}
	w.forgot--
	return true
}

// Leave is for operations to go away.
func (w *World) Leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = true
	close(w.cut)
	w.cut = make(chan struct{})
}

// ComeBack is for it to be back, refusing the next tokens.
func (w *World) ComeBack(forgot int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.forgot = false, forgot
}

func (w *World) gone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.away
}

// Streams is how many watches there are.
func (w *World) Streams() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watchers)
}

// Restart ends every watch, as a replica that drains does.
func (w *World) Restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.cut)
	w.cut = make(chan struct{})
}

// Settled waits until there are n watches: those that only catch up have ended.
func (w *World) Settled(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.Streams() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d watches, want %d", w.Streams(), n)
		}
		<-tick.C
	}
}
