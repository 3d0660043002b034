package work

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// heart receives heartbeats. It records when they came. From a given moment on it lets
// them hang, or refuses them.
type heart struct {
	operationsv1.RunServiceClient
	began  time.Time
	beats  []time.Duration
	hangs  bool
	broken time.Duration // when this begins; 0 is never
}

func (h *heart) ReportProgress(ctx context.Context, _ *operationsv1.ReportProgressRequest, _ ...grpc.CallOption) (*operationsv1.ReportProgressResponse, error) {
	at := time.Since(h.began)
	if h.broken > 0 && at >= h.broken {
		if h.hangs {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, errs.Unavailable("AWAY", "operations is away")
	}
	h.beats = append(h.beats, at)
	return &operationsv1.ReportProgressResponse{}, nil
}

// leaseOf returns a lease of 20 s by the store's clock, which is hours away from ours.
// BeginRun was called twice, because the first reply was lost. The second call came
// after the duration again, and extended the lease.
func leaseOf(h *heart, again time.Duration, stopJob context.CancelCauseFunc) *lease {
	w := &Worker{cfg: Config{Settings: Settings{Heartbeat: 5 * time.Second}, Log: slog.New(slog.DiscardHandler)}, runs: h}
	theirs := time.Now().Add(-3 * time.Hour)
	return w.newLease(&operationsv1.Run{
		Id: 1, LeaseEpoch: 1, UpdateTime: timestamppb.New(theirs.Add(-again)), LeaseExpireTime: timestamppb.New(theirs.Add(20 * time.Second)),
	}, time.Now().Add(-again), stopJob)
}

func TestLeaseIsKeptWhileItCanBe(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		again  time.Duration // see leaseOf
		hangs  bool
		broken time.Duration
		lostAt time.Duration // 0 is never
	}{
		"store answers":                 {},
		"store is away from the start":  {broken: time.Second, lostAt: 18 * time.Second},
		"store is away after a while":   {broken: 7 * time.Second, lostAt: 23 * time.Second},
		"an answer was lost before":     {again: 9 * time.Second, broken: 7 * time.Second, lostAt: 23 * time.Second},
		"an answer was lost, then away": {again: 9 * time.Second, broken: time.Second, lostAt: 9 * time.Second},
		"store hangs after a while":     {broken: 7 * time.Second, hangs: true, lostAt: 23 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &heart{began: time.Now(), hangs: tt.hangs, broken: tt.broken}
				job, stopJob := context.WithCancelCause(t.Context())
				defer stopJob(nil)
				var lostAt time.Duration
				context.AfterFunc(job, func() { lostAt = time.Since(h.began) })
				working, stop := context.WithTimeout(t.Context(), 58*time.Second)
				defer stop()
				leaseOf(h, tt.again, stopJob).keep(working)
				synctest.Wait()
				if lostAt != tt.lostAt || tt.lostAt > 0 && !errors.Is(context.Cause(job), ErrLeaseLost) {
					t.Errorf("the job was stopped after %s by %v, want %s", lostAt, context.Cause(job), tt.lostAt)
				}
				if tt.lostAt == 0 && len(h.beats) != 11 {
					t.Errorf("heartbeats at %v, want one every 5 s", h.beats)
				}
			})
		})
	}
}

func TestProgressIsSentSoonerButNotMoreThanOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &heart{began: time.Now()}
		l := leaseOf(h, 0, func(error) {})
		working, stop := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer stop()
		go l.keep(working)
		for i := range int64(25) { // a change every 100 ms, for 2.5 s
			l.progress.set(map[string]int64{"processed": i})
			_ = pause.For(working, 100*time.Millisecond)
		}
		<-working.Done()
		synctest.Wait()
		if len(h.beats) != 3 {
			t.Errorf("heartbeats at %v, want three in the first 3.5 s", h.beats)
		}
	})
}
