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

// Change applies f to run id and tells everybody who watches.
func (w *World) Change(id int64, f func(*operationsv1.Run)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.Runs[id])
	w.Runs[id].UpdateTime = timestamppb.Now()
	run, _ := proto.Clone(w.Runs[id]).(*operationsv1.Run)
	w.history = append(w.history, run)
	w.stir()
}

// stir wakes every watch. Its caller holds the lock.
func (w *World) stir() {
	for c := range w.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// WatchRuns sends every change that Change made. A resume token is the number of changes
// that were sent before it.
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
		var err error
		if told, err = send(stream, w.since(told, bookmark != nil), told); err != nil {
			return err
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

// send sends changed runs, each with its resume token, and returns how many changes
// the watcher has been told.
func send(stream grpc.ServerStreamingServer[operationsv1.WatchRunsResponse], runs []*operationsv1.Run, told int) (int, error) {
	for _, run := range runs {
		told++
		err := stream.Send(&operationsv1.WatchRunsResponse{
			What:        &operationsv1.WatchRunsResponse_Change{Change: &operationsv1.RunChange{Run: run}},
			ResumeToken: fmt.Sprint(told),
		})
		if err != nil {
			return told, err
		}
	}
	return told, nil
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

// since returns the changes after the first told. While the world lags, a watch that is
// not fresh gets only those up to upTo.
func (w *World) since(told int, fresh bool) []*operationsv1.Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := len(w.history)
	if w.lagging && !fresh {
		end = max(told, w.upTo)
	}
	return w.history[told:end]
}

// Lag holds back the open watches: they send only the first upTo changes until CatchUp.
// New watches send everything.
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

// Leave ends every watch and refuses new ones, as if operations were down.
func (w *World) Leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = true
	close(w.cut)
	w.cut = make(chan struct{})
}

// ComeBack ends what Leave began. The next forgot resume tokens are refused.
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

// Streams returns how many watches are open.
func (w *World) Streams() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watchers)
}

// Restart ends every watch, as a replica of operations does that drains.
func (w *World) Restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.cut)
	w.cut = make(chan struct{})
}

// Settled waits until n watches are open. Those that only catch up have ended then.
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
