package web

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
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

// What all who follow a workspace are told is written once, and read by all of them.
func TestEverybodyOnAWorkspaceIsTold(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	var streams []stream
	for range 20 {
		streams = append(streams, subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", ""))
	}
	for _, s := range streams {
		s.next(t)
	}
	w.settled(t, 1)
	for n := range int64(5) {
		w.change(11, processed(600+n))
		for _, s := range streams {
			if e := s.next(t); e.event != "change" || !strings.Contains(e.data, fmt.Sprintf(`"processed":"%d"`, 600+n)) {
				t.Fatalf("got %+v", e)
			}
		}
	}
}

// settled waits until there are n watches: those that only catch up have ended.
func (w *world) settled(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
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
	w.leave()
	w.settled(t, 0)
	w.change(11, succeed)
	w.comeBack(1)
	e := s.next(t)
	for e.event == "run" {
		e = s.next(t)
	}
	if e.event != "done" {
		t.Errorf("got %+v", e)
	}
}

// A stream that everybody shares may be behind what somebody was told who came
// later: they are not told what was before, nor the same again.
func TestNobodyIsToldWhatWasBefore(t *testing.T) {
	t.Parallel()
	for path, first := range map[string]string{
		"/api/v1/workspaces/1/operations:watch": "snapshot", "/api/v1/operations/11/events": "run",
	} {
		srv, w := setup(t)
		other := subscribe(t, srv, "owner", "/api/v1/workspaces/1/operations:watch", "")
		other.next(t)
		w.settled(t, 1)
		w.lag(0)
		w.change(11, processed(400))
		w.change(11, processed(500))
		s := subscribe(t, srv, "reader", path, "")
		if e := s.next(t); e.event != first || !strings.Contains(e.data, `"processed":"500"`) {
			t.Errorf("%s: first: %+v", path, e)
		}
		w.settled(t, 1)
		w.lag(1)
		if e := other.next(t); !strings.Contains(e.data, `"processed":"400"`) {
			t.Errorf("%s: the shared stream: %+v", path, e)
		}
		<-time.After(2 * livePace) // by now s would have been told
		w.catchUp()
		other.next(t)
		<-time.After(2 * livePace)
		w.change(11, processed(620))
		if e := s.next(t); !strings.Contains(e.data, `"processed":"620"`) {
			t.Errorf("%s: after it: %+v", path, e)
		}
	}
}

// Mail that may have gaps says nothing about where a reader can go on from, also
// when a sign of life is due.
func TestWhoMissedSomethingGoesOnFromWhatTheyWereTold(t *testing.T) {
	t.Parallel()
	site, w := newSite(t)
	begun := time.Now()
	site.now = func() time.Time { return begun.Add(100_000 * time.Since(begun)) }
	srv := open(t, site)
	s := subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", "")
	s.next(t)
	w.change(11, processed(400))
	s.next(t)
	w.settled(t, 1)
	w.leave()
	w.settled(t, 0)
	w.change(11, processed(620))
	w.comeBack(1) // the shared stream, and only that, begins anew
	if e := s.next(t); e.event != "change" || !strings.Contains(e.data, `"processed":"620"`) {
		t.Errorf("got %+v", e)
	}
}

// The shared stream is opened on behalf of anybody who follows, under the request
// that came first: that one's log line goes on naming its own user.
func TestAWatchLeavesTheRequestThatBeganItAlone(t *testing.T) {
	t.Parallel()
	site, w := newSite(t)
	begun := &seen{userID: 7}
	ctx := context.WithValue(t.Context(), seenKey{}, begun)
	reader := actor.Actor{UserID: 8, Memberships: []actor.Membership{{WorkspaceID: 1, Role: actor.Readonly}}}
	box := site.watches.join(ctx, 1, selection{}, reader)
	w.settled(t, 1)
	if begun.userID != 7 {
		t.Errorf("user %d", begun.userID)
	}
	site.watches.leave(1, box)
}

// What a query selects is told, and nothing else; a run that is named is shown
// even if it has ended.
func TestWorkspaceEventsOfASelection(t *testing.T) {
	t.Parallel()
	const watch = "/api/v1/workspaces/1/operations:watch"
	tests := map[string]struct {
		query string
		first string // the snapshot's run
		told  string // the first change's
	}{
		"tenant":           {"?tenant_id=6", "13", "13"},
		"type":             {"?type=drift_generate_findings", "13", "13"},
		"types":            {"?type=drift_generate_findings&type=inventory_sync", "11", "11"},
		"run":              {"?run_id=13", "13", "13"},
		"ended run":        {"?run_id=12&run_id=13", "12", "13"},
		"all of them":      {"?run_id=13&tenant_id=6&type=drift_generate_findings", "13", "13"},
		"without a query?": {"?", "11", "11"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, w := setup(t)
			w.runs[13] = activeRun(13, 1)
			w.runs[13].Type, w.runs[13].TenantId = "drift_generate_findings", proto.Int64(6)
			s := subscribe(t, srv, "reader", watch+tt.query, "")
			shown := map[string]bool{}
			e := s.next(t)
			shown[runIn(e)] = true
			w.settled(t, 1)
			w.change(11, processed(620))
			w.change(13, processed(620))
			for e = s.next(t); e.event == "snapshot"; e = s.next(t) {
				shown[runIn(e)] = true
			}
			if e.event != "change" || runIn(e) != tt.told || !shown[tt.first] {
				t.Errorf("shown %v, told %+v", shown, e)
			}
			again := subscribe(t, srv, "reader", watch+tt.query, "0")
			if e := again.next(t); e.event != "change" || runIn(e) != tt.told {
				t.Errorf("gone on: %+v", e)
			}
		})
	}
}

// runIn is the id of the run that an event is about.
func runIn(e event) string { return between(e.data, `"id":"`, `"`) }

func TestWorkspaceEventsRefuses(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	for path, want := range map[string]int{
		"/api/v1/workspaces/2/operations:watch": http.StatusNotFound,
		"/api/v1/workspaces/x/operations:watch": http.StatusNotFound,
		"/api/v1/operations/22/events":          http.StatusNotFound,
		"/api/v1/operations/x/events":           http.StatusNotFound,
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

func TestWorkspaceEventsNamesTheBadParameter(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	many := strings.Repeat("&run_id=7", mostRuns+1)
	for query, field := range map[string]string{
		"tenant=99": "tenant", "tenant_id=x": "tenant_id", "tenant_id=0": "tenant_id", "tenant_id=": "tenant_id", "tenant_id=5&tenant_id=6": "tenant_id",
		"type=asleep": "type", "type=": "type", "run_id=07": "run_id", "run_id=7&run_id=-1": "run_id", many: "run_id",
		"run_id=99999999999999999999": "run_id", "type=%00": "type",
	} {
		resp, body := ask(t, srv, "reader", http.MethodGet, "/api/v1/workspaces/1/operations:watch?"+query, "")
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"field":"`+field+`"`) {
			t.Errorf("%.40s: %d %s", query, resp.StatusCode, body)
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
