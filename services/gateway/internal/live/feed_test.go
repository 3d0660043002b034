package live

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

func processed(n int64) func(*operationsv1.Run) {
	return func(r *operationsv1.Run) { r.SummaryCounts["processed"] = n }
}

func succeed(r *operationsv1.Run) {
	r.Status, r.Outcome = operationsv1.RunStatus_RUN_STATUS_COMPLETED, operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
}

func TestRunEventsAsAStream(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := webtest.Subscribe(t, srv, "reader", "/api/v1/operations/11/events", "")
	if e := s.Next(t); e.Event != "run" || !strings.Contains(e.Data, `"processed":"310"`) {
		t.Errorf("first: %+v", e)
	}
	w.Change(11, processed(620))
	if e := s.Next(t); e.Event != "run" || !strings.Contains(e.Data, `"processed":"620"`) {
		t.Errorf("changed: %+v", e)
	}
	w.Change(11, succeed)
	last, done, end := s.Next(t), s.Next(t), s.Next(t)
	if last.Event != "run" || !strings.Contains(last.Data, "RUN_OUTCOME_SUCCEEDED") || done.Event != "done" || end.Event != "" {
		t.Errorf("at the end: %+v %+v %+v", last, done, end)
	}
}

func TestWorkspaceEvents(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := webtest.Subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", "")
	if e := s.Next(t); e.Event != "snapshot" || !strings.Contains(e.Data, `"id":"11"`) {
		t.Errorf("first: %+v", e)
	}
	w.Settled(t, 1)
	w.Change(11, processed(620))
	e := s.Next(t)
	if e.Event != "change" || !strings.Contains(e.Data, `"processed":"620"`) || e.ID == "" {
		t.Errorf("changed: %+v", e)
	}
	w.Change(11, succeed)
	if e := s.Next(t); e.Event != "change" || !strings.Contains(e.Data, "RUN_OUTCOME_SUCCEEDED") {
		t.Errorf("ended: %+v", e)
	}
	again := webtest.Subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", "old")
	if e := again.Next(t); e.Event != "reset" {
		t.Errorf("a place that is no more: %+v", e)
	}
}

// A frame is written once for all viewers of a workspace, and each of them gets it whole.
func TestEverybodyOnAWorkspaceIsTold(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	var streams []webtest.Stream
	for range 20 {
		streams = append(streams, webtest.Subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", ""))
	}
	for _, s := range streams {
		s.Next(t)
	}
	w.Settled(t, 1)
	for n := range int64(5) {
		w.Change(11, processed(600+n))
		for _, s := range streams {
			if e := s.Next(t); e.Event != "change" || !strings.Contains(e.Data, fmt.Sprintf(`"processed":"%d"`, 600+n)) {
				t.Fatalf("got %+v", e)
			}
		}
	}
}

// The shared stream may be behind what a new viewer has been sent already. The viewer is
// not sent an older state, nor the same one again.
func TestNobodyIsToldWhatWasBefore(t *testing.T) {
	t.Parallel()
	for path, first := range map[string]string{
		"/api/v1/workspaces/1/operations:watch": "snapshot", "/api/v1/operations/11/events": "run",
	} {
		srv, w := setup(t)
		other := webtest.Subscribe(t, srv, "owner", "/api/v1/workspaces/1/operations:watch", "")
		other.Next(t)
		w.Settled(t, 1)
		w.Lag(0)
		w.Change(11, processed(400))
		w.Change(11, processed(500))
		s := webtest.Subscribe(t, srv, "reader", path, "")
		if e := s.Next(t); e.Event != first || !strings.Contains(e.Data, `"processed":"500"`) {
			t.Errorf("%s: first: %+v", path, e)
		}
		w.Settled(t, 1)
		w.Lag(1)
		if e := other.Next(t); !strings.Contains(e.Data, `"processed":"400"`) {
			t.Errorf("%s: the shared stream: %+v", path, e)
		}
		<-time.After(2 * livePace) // by now s would have been sent it
		w.CatchUp()
		other.Next(t)
		<-time.After(2 * livePace)
		w.Change(11, processed(620))
		if e := s.Next(t); !strings.Contains(e.Data, `"processed":"620"`) {
			t.Errorf("%s: after it: %+v", path, e)
		}
	}
}

// A mailbox that may have lost changes gives no position to resume from, not even for a
// sign of life.
func TestWhoMissedSomethingGoesOnFromWhatTheyWereTold(t *testing.T) {
	t.Parallel()
	streams, w := newStreams(t)
	begun := time.Now()
	streams.now = func() time.Time { return begun.Add(100_000 * time.Since(begun)) }
	srv := serve(t, streams)
	s := webtest.Subscribe(t, srv, "reader", "/api/v1/workspaces/1/operations:watch", "")
	s.Next(t)
	w.Change(11, processed(400))
	s.Next(t)
	w.Settled(t, 1)
	w.Leave()
	w.Settled(t, 0)
	w.Change(11, processed(620))
	w.ComeBack(1) // only the shared stream begins without a position
	if e := s.Next(t); e.Event != "change" || !strings.Contains(e.Data, `"processed":"620"`) {
		t.Errorf("got %+v", e)
	}
}

// The shared stream is opened on behalf of any viewer, under the context of the
// request that came first. That request's log line still names its own user only.
func TestAWatchLeavesTheRequestThatBeganItAlone(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	streams, w := newStreams(t, func(c *web.Config) { c.Log = slog.New(slog.NewJSONHandler(&lines, nil)) })
	reader := actor.Actor{UserID: 8, Memberships: []actor.Membership{{WorkspaceID: 1, Role: actor.Readonly}}}
	streams.site.HandleFunc("GET /join", func(_ http.ResponseWriter, r *http.Request) {
		box := streams.hub.join(r.Context(), 1, selection{}, reader)
		w.Settled(t, 1)
		streams.hub.leave(1, box)
	})
	streams.site.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/join", nil))
	if !strings.Contains(lines.String(), `"path":"/join"`) || strings.Contains(lines.String(), "user_id") {
		t.Errorf("log: %s", &lines)
	}
}

// A stream sends the runs that its query selects and no others. A run that the query
// names is sent even if it has ended.
func TestWorkspaceEventsOfASelection(t *testing.T) {
	t.Parallel()
	const watch = "/api/v1/workspaces/1/operations:watch"
	tests := map[string]struct {
		query string
		first string // the run of the snapshot
		told  string // the run of the first change
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
			w.Runs[13] = webtest.ActiveRun(13, 1)
			w.Runs[13].Type, w.Runs[13].TenantId = "drift_generate_findings", proto.Int64(6)
			s := webtest.Subscribe(t, srv, "reader", watch+tt.query, "")
			shown := map[string]bool{}
			e := s.Next(t)
			shown[runIn(e)] = true
			w.Settled(t, 1)
			w.Change(11, processed(620))
			w.Change(13, processed(620))
			for e = s.Next(t); e.Event == "snapshot"; e = s.Next(t) {
				shown[runIn(e)] = true
			}
			if e.Event != "change" || runIn(e) != tt.told || !shown[tt.first] {
				t.Errorf("shown %v, told %+v", shown, e)
			}
			again := webtest.Subscribe(t, srv, "reader", watch+tt.query, "0")
			if e := again.Next(t); e.Event != "change" || runIn(e) != tt.told {
				t.Errorf("gone on: %+v", e)
			}
		})
	}
}

// runIn is the id of the run that an event is about.
func runIn(e webtest.Event) string { return webtest.Between(e.Data, `"id":"`, `"`) }

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
		webtest.Must(t, err)
		r.Header.Set("Authorization", "Bearer tp_reader")
		r.Header.Set("Accept", "text/event-stream")
		resp, err := srv.Client().Do(r)
		webtest.Must(t, err)
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
		resp, body := webtest.Ask(t, srv, "reader", http.MethodGet, "/api/v1/workspaces/1/operations:watch?"+query, "")
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"field":"`+field+`"`) {
			t.Errorf("%.40s: %d %s", query, resp.StatusCode, body)
		}
	}
}

// However often a run changes, a viewer gets at most four frames per second, and the
// last one is the latest state. The first change is sent at once.
func TestFramesComeAtAPace(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := webtest.Subscribe(t, srv, "reader", "/api/v1/operations/11/events", "")
	s.Next(t)
	w.Settled(t, 1)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	var changes sync.WaitGroup
	defer changes.Wait() // before the ticker stops
	changes.Go(func() {
		for n := range int64(201) {
			<-tick.C
			w.Change(11, processed(400+n))
		}
	})
	frames := 0
	for {
		e := s.Next(t)
		if frames++; strings.Contains(e.Data, `"processed":"600"`) || e.Event != "run" {
			break
		}
	}
	if most := 2 + int(time.Since(begun)/livePace); frames < 3 || frames > most {
		t.Errorf("%d frames in %v, want at most %d", frames, time.Since(begun), most)
	}
}
