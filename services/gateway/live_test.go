package gateway

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

// A browser that follows a run is sent its state at once, at a change and at its end.
func TestLive(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	c := webtest.SignIn(t, srv, "owner")
	stream := webtest.Listen(t, srv, c, "/operations/11/live", "")
	first := stream.Next(t)
	if first.Event != "run" || !strings.Contains(first.Data, `value="310"`) || first.ID == "" {
		t.Errorf("first: %+v", first)
	}
	w.Change(11, func(r *operationsv1.Run) { r.SummaryCounts["processed"] = 620 })
	second := stream.Next(t)
	for strings.Contains(second.Data, `value="310"`) { // the clock moved before the run did
		second = stream.Next(t)
	}
	if !strings.Contains(second.Data, `value="620"`) {
		t.Errorf("after a change: %+v", second)
	}
	w.Change(11, func(r *operationsv1.Run) {
		r.Status, r.Outcome = operationsv1.RunStatus_RUN_STATUS_COMPLETED, operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
		r.CompleteTime = timestamppb.New(webtest.Start().Add(time.Hour))
	})
	var got []webtest.Event
	for e := stream.Next(t); e.Event != ""; e = stream.Next(t) {
		got = append(got, e)
	}
	if len(got) < 2 || !strings.Contains(got[len(got)-2].Data, "Succeeded") || got[len(got)-1].Event != "done" {
		t.Errorf("at the end: %+v", got)
	}
}

func TestLiveOfAnEndedRun(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := webtest.SignIn(t, srv, "reader")
	stream := webtest.Listen(t, srv, c, "/operations/12/live", "")
	snapshot, done, end := stream.Next(t), stream.Next(t), stream.Next(t)
	if snapshot.Event != "run" || done.Event != "done" || end.Event != "" {
		t.Errorf("got %v, %v, %v", snapshot.Event, done.Event, end.Event)
	}
	again := webtest.Listen(t, srv, c, "/operations/12/live", snapshot.ID)
	if e := again.Next(t); e.Event != "done" {
		t.Errorf("resumed: %+v", e)
	}
}

func TestLiveRefusesStrangers(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	if resp, _ := webtest.Browse(t, srv, nil, "/operations/12/live"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// TestLiveSignsOut revokes a token while its user follows a run. When the token must be
// resolved again, the stream sends "signed-out" and ends.
func TestLiveSignsOut(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	srv, w := setup(t, func(c *parts) {
		c.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	stream := webtest.Listen(t, srv, webtest.SignIn(t, srv, "owner"), "/operations/11/live", "")
	stream.Next(t)
	w.Revoke("owner")
	later.Store(int64(2 * time.Minute)) // the signed token has run out
	e := stream.Next(t)
	for e.Event == "run" {
		e = stream.Next(t)
	}
	if end := stream.Next(t); e.Event != "signed-out" || end.Event != "" {
		t.Errorf("got %+v, then %+v", e, end)
	}
}

func TestLiveEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	closing := make(chan struct{})
	srv, _ := setup(t, func(c *parts) { c.closing = closing })
	stream := webtest.Listen(t, srv, webtest.SignIn(t, srv, "owner"), "/operations/11/live", "")
	stream.Next(t)
	close(closing)
	for e := stream.Next(t); e.Event != ""; e = stream.Next(t) {
		if e.Event == "done" {
			t.Error("the run is said to have ended")
		}
	}
}

// All viewers of a workspace share one watch at operations. It ends when the last viewer
// leaves.
func TestFollowersShareOneWatch(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	cookie := webtest.SignIn(t, srv, "owner")
	var streams []webtest.Stream
	for range 20 {
		streams = append(streams, webtest.Listen(t, srv, cookie, "/operations/11/live", ""))
	}
	for _, s := range streams {
		s.Next(t)
	}
	w.Settled(t, 1)
	w.Restart()
	w.Settled(t, 1)
	w.Change(11, processed(777))
	for _, s := range streams {
		e := s.Next(t)
		for !strings.Contains(e.Data, `value="777"`) && e.Event == "run" {
			e = s.Next(t)
		}
		if e.Event != "run" {
			t.Errorf("got %+v", e)
		}
	}
	srv.CloseClientConnections()
	w.Settled(t, 0)
}

// A change that is made while operations is down is sent once it is up again.
func TestNothingIsMissedWhileOperationsRestarts(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	s := webtest.Listen(t, srv, webtest.SignIn(t, srv, "owner"), "/operations/11/live", "")
	s.Next(t)
	w.Settled(t, 1)
	w.Leave()
	w.Settled(t, 0)
	w.Change(11, succeed)
	w.ComeBack(1)
	e := s.Next(t)
	for e.Event == "run" {
		e = s.Next(t)
	}
	if e.Event != "done" {
		t.Errorf("got %+v", e)
	}
}

func processed(n int64) func(*operationsv1.Run) {
	return func(r *operationsv1.Run) { r.SummaryCounts["processed"] = n }
}

func succeed(r *operationsv1.Run) {
	r.Status, r.Outcome = operationsv1.RunStatus_RUN_STATUS_COMPLETED, operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
}
