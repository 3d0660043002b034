package web

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// TestLive follows a run from the browser's side: at once, at a change, at its end.
func TestLive(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	c := signIn(t, srv, "owner")
	stream := listen(t, srv, c, "/operations/11/live", "")
	first := stream.next(t)
	if first.event != "run" || !strings.Contains(first.data, `value="310"`) || first.id == "" {
		t.Errorf("first: %+v", first)
	}
	w.change(11, func(r *operationsv1.Run) { r.SummaryCounts["processed"] = 620 })
	second := stream.next(t)
	for strings.Contains(second.data, `value="310"`) { // the clock moved before the run did
		second = stream.next(t)
	}
	if !strings.Contains(second.data, `value="620"`) {
		t.Errorf("after a change: %+v", second)
	}
	w.change(11, func(r *operationsv1.Run) {
		r.Status, r.Outcome = operationsv1.RunStatus_RUN_STATUS_COMPLETED, operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
		r.CompleteTime = timestamppb.New(start().Add(time.Hour))
	})
	var got []event
	for e := stream.next(t); e.event != ""; e = stream.next(t) {
		got = append(got, e)
	}
	if len(got) < 2 || !strings.Contains(got[len(got)-2].data, "Succeeded") || got[len(got)-1].event != "done" {
		t.Errorf("at the end: %+v", got)
	}
}

func TestLiveOfAnEndedRun(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := signIn(t, srv, "reader")
	stream := listen(t, srv, c, "/operations/12/live", "")
	snapshot, done, end := stream.next(t), stream.next(t), stream.next(t)
	if snapshot.event != "run" || done.event != "done" || end.event != "" {
		t.Errorf("got %v, %v, %v", snapshot.event, done.event, end.event)
	}
	again := listen(t, srv, c, "/operations/12/live", snapshot.id)
	if e := again.next(t); e.event != "done" {
		t.Errorf("resumed: %+v", e)
	}
}

func TestLiveRefusesStrangers(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	if resp, _ := browse(t, srv, nil, "/operations/12/live"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// TestLiveSignsOut revokes the reader's token while they follow a run: the next
// time they must be recognised, the stream says so and ends.
func TestLiveSignsOut(t *testing.T) {
	t.Parallel()
	site, w := newSite(t)
	var later atomic.Int64
	site.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	site.identity.now = site.now
	srv := open(t, site)
	stream := listen(t, srv, signIn(t, srv, "owner"), "/operations/11/live", "")
	stream.next(t)
	w.revoke("owner")
	later.Store(int64(2 * liveAuth))
	e := stream.next(t)
	for e.event == "run" {
		e = stream.next(t)
	}
	if end := stream.next(t); e.event != "signed-out" || end.event != "" {
		t.Errorf("got %+v, then %+v", e, end)
	}
}

func TestLiveEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	closing := make(chan struct{})
	srv, _ := setup(t, func(c *Config) { c.Closing = closing })
	stream := listen(t, srv, signIn(t, srv, "owner"), "/operations/11/live", "")
	stream.next(t)
	close(closing)
	for e := stream.next(t); e.event != ""; e = stream.next(t) {
		if e.event == "done" {
			t.Error("the run is said to have ended")
		}
	}
}

type event struct{ event, id, data string }

type stream struct{ lines *bufio.Scanner }

func listen(t *testing.T, srv *httptest.Server, c *http.Cookie, path, last string) stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	must(t, err)
	r.AddCookie(c)
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

// next is the next event, or none at the stream's end.
func (s stream) next(t *testing.T) (e event) {
	t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "event":
			e.event = value
		case "id":
			e.id = value
		case "data":
			e.data += value + "\n"
		case "":
			if e.event != "" {
				return e
			}
		}
	}
	return event{}
}
