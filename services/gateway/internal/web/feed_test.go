package web

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// subscribe reads an event stream as a program does, with a token.
func subscribe(t *testing.T, srv *httptest.Server, name, path, last string) stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer tp_"+name)
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := srv.Client().Do(r)
	must(t, err)
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, got)
	}
	return stream{bufio.NewScanner(resp.Body)}
}

func processed(n int64) func(*operationsv1.Run) {
	return func(r *operationsv1.Run) { r.SummaryCounts["processed"] = n }
}

func succeed(r *operationsv1.Run) {
	r.Status, r.Outcome = operationsv1.RunStatus_RUN_STATUS_COMPLETED, operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
}

func TestRunEventsAsAStream(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := subscribe(t, srv, "reader", "/api/v1/operations/11/events", "")
	if e := s.next(t); e.event != "run" || !strings.Contains(e.data, `"processed":"310"`) {
		t.Errorf("first: %+v", e)
	}
	w.change(11, processed(620))
	if e := s.next(t); e.event != "run" || !strings.Contains(e.data, `"processed":"620"`) {
		t.Errorf("changed: %+v", e)
	}
	w.change(11, succeed)
	last, done, end := s.next(t), s.next(t), s.next(t)
	if last.event != "run" || !strings.Contains(last.data, "RUN_OUTCOME_SUCCEEDED") || done.event != "done" || end.event != "" {
		t.Errorf("at the end: %+v %+v %+v", last, done, end)
	}
}

func TestWorkspaceEvents(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", "")
	if e := s.next(t); e.event != "snapshot" || !strings.Contains(e.data, `"id":"11"`) {
		t.Errorf("first: %+v", e)
	}
	w.settled(t, 1)
	w.change(11, processed(620))
	e := s.next(t)
	if e.event != "change" || !strings.Contains(e.data, `"processed":"620"`) || e.id == "" {
		t.Errorf("changed: %+v", e)
	}
	w.change(11, succeed)
	if e := s.next(t); e.event != "change" || !strings.Contains(e.data, "RUN_OUTCOME_SUCCEEDED") {
		t.Errorf("ended: %+v", e)
	}
	again := subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", "old")
	if e := again.next(t); e.event != "reset" {
		t.Errorf("a place that is no more: %+v", e)
	}
}

// settled waits until there are n watches: those that only catch up have ended.
func (w *world) settled(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.streams() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d watches, want %d", w.streams(), n)
		}
		<-tick.C
	}
}

// However many follow runs of a workspace, operations is asked once; when the
// last one leaves, no more.
func TestFollowersShareOneWatch(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	cookie := signIn(t, srv, "owner")
	var streams []stream
	for range 20 {
		streams = append(streams, listen(t, srv, cookie, "/operations/11/live", ""))
	}
	for _, s := range streams {
		s.next(t)
	}
	w.settled(t, 1)
	w.restart()
	w.settled(t, 1)
	w.change(11, processed(777))
	for _, s := range streams {
		e := s.next(t)
		for !strings.Contains(e.data, `value="777"`) && e.event == "run" {
			e = s.next(t)
		}
		if e.event != "run" {
			t.Errorf("got %+v", e)
		}
	}
	srv.CloseClientConnections()
	w.settled(t, 0)
}

// A change while the stream to operations is down is seen once it is up again.
func TestNothingIsMissedWhileOperationsRestarts(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := listen(t, srv, signIn(t, srv, "owner"), "/operations/11/live", "")
	s.next(t)
	w.settled(t, 1)
	w.forgetful(true)
	w.restart()
	w.settled(t, 0)
	w.change(11, succeed)
	e := s.next(t)
	for e.event == "run" {
		e = s.next(t)
	}
	if e.event != "done" {
		t.Errorf("got %+v", e)
	}
}

func TestWorkspaceEventsRefuses(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	for path, want := range map[string]int{
		"/api/v1/workspaces/2/operations:watch":           http.StatusNotFound,
		"/api/v1/workspaces/x/operations:watch":           http.StatusNotFound,
		"/api/v1/workspaces/1/operations:watch?tenant=99": http.StatusBadRequest,
		"/api/v1/operations/22/events":                    http.StatusNotFound,
		"/api/v1/operations/x/events":                     http.StatusNotFound,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
		must(t, err)
		r.Header.Set("Authorization", "Bearer tp_reader")
		r.Header.Set("Accept", "text/event-stream")
		resp, err := srv.Client().Do(r)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
	}
}

// However often a run changes, a reader gets four frames a second and the last
// one is the truth; the first change is not kept waiting.
func TestFramesComeAtAPace(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := subscribe(t, srv, "reader", "/api/v1/operations/11/events", "")
	s.next(t)
	w.settled(t, 1)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	var changes sync.WaitGroup
	defer changes.Wait() // before the ticker stops
	changes.Go(func() {
		for n := range int64(201) {
			<-tick.C
			w.change(11, processed(400+n))
		}
	})
	frames := 0
	for {
		e := s.next(t)
		if frames++; strings.Contains(e.data, `"processed":"600"`) || e.event != "run" {
			break
		}
	}
	if most := 2 + int(time.Since(begun)/livePace); frames < 3 || frames > most {
		t.Errorf("%d frames in %v, want at most %d", frames, time.Since(begun), most)
	}
}
