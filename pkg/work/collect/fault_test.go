package collect

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// The store starts the runs and its reply is lost. Starts with a request id are repeated
// and return the same run; the others fail as a call of their own would.
func TestALostReplyOfABatch(t *testing.T) {
	t.Parallel()
	s := share(t)
	s.ops.LoseReply(1, "BatchStartRuns")
	var calls []func() error
	for i := range 10 {
		req := startOf(fmt.Sprint(i))
		if i < 5 {
			req.RequestId = fmt.Sprint("request ", i)
		}
		calls = append(calls, s.startCall(t.Context(), req))
	}
	results := s.crowd(t, calls...)
	requireNone(t, results[:5])
	for _, err := range results[5:] {
		require.Equal(t, codes.Unavailable, errs.Code(err))
		require.Equal(t, "REPLY_LOST", errs.Reason(err))
	}
	require.Equal(t, 11, s.store.Runs(), "each was started once")
}

// While the store is away, a call in a batch is repeated exactly as a call of its own.
func TestAStoreThatIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	s := share(t)
	away := errs.Unavailable("AWAY", "operations restarts")
	s.ops.FailCall(1, "BatchStartRuns", away)
	for n := 2; n <= 4; n++ { // the first call of the crowd is one
		s.ops.FailCall(n, "StartRun", away)
	}
	req := startOf("repeated")
	req.RequestId = "r"
	results := s.crowd(t, s.startCall(t.Context(), req), s.startCall(t.Context(), startOf("once")))
	require.NoError(t, results[0])
	require.Equal(t, "AWAY", errs.Reason(results[1]))
	require.Equal(t, 2, s.store.Runs())
}

// An older operations does not know entries. It must not take them for calls of the
// service itself.
func TestAnOlderStoreIsAskedOneByOne(t *testing.T) {
	t.Parallel()
	store := worktest.New(worktest.Options{})
	s := shareOn(t, store, func(r grpc.ServiceRegistrar) { operationsv1.RegisterRunServiceServer(r, older{store: store}) })
	requireNone(t, s.crowd(t, s.startCalls(t.Context(), "a", "b", "c")...))
	require.Equal(t, []string{"StartRun", "BatchStartRuns", "StartRun", "StartRun", "StartRun"}, s.made())
	require.Equal(t, 4, store.Runs())
}

// older starts runs as an earlier version of operations does: to it, a batch of entries
// is a batch without requests.
type older struct {
	operationsv1.UnimplementedRunServiceServer
	store *worktest.Store
}

func (o older) StartRun(ctx context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	return o.store.StartRun(ctx, req)
}

func (o older) BatchStartRuns(context.Context, *operationsv1.BatchStartRunsRequest) (*operationsv1.BatchStartRunsResponse, error) {
	return nil, errs.Invalid("requests", "must have at least 1 item")
}

// A call whose caller gives up while it waits is never sent.
func TestACallerWhoGivesUpWhileWaiting(t *testing.T) {
	t.Parallel()
	s := share(t)
	come, release := s.hold("StartRun")
	var first errgroup.Group
	first.Go(s.startCall(context.WithoutCancel(t.Context()), startOf("first")))
	<-come
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- s.startCall(ctx, startOf("gone"))() }()
	require.Eventually(t, func() bool { return s.client.starts.queued() == 1 }, 30*time.Second, time.Millisecond)
	cancel()
	err := <-gone
	require.Equal(t, codes.Canceled, errs.Code(err))
	require.ErrorIs(t, err, context.Canceled)
	release()
	require.NoError(t, first.Wait())
	require.Equal(t, 1, s.store.Runs())
	require.Equal(t, []string{"StartRun"}, s.made())
}

// A caller who gives up while its call is in flight returns at once. The others get
// their responses.
func TestACallerWhoGivesUpInFlight(t *testing.T) {
	t.Parallel()
	s := share(t)
	come, release := s.hold("BatchStartRuns")
	ctx, cancel := context.WithCancel(t.Context())
	short, cancelShort := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancelShort()
	gone := make(chan error, 2)
	wait := s.crowded(t,
		func() error { gone <- s.startCall(ctx, startOf("gone"))(); return nil },
		func() error { gone <- s.startCall(short, startOf("impatient"))(); return nil },
		s.startCall(t.Context(), startOf("patient")))
	<-come
	cancel()
	require.Equal(t, codes.Canceled, errs.Code(<-gone))
	err := <-gone
	require.Equal(t, codes.DeadlineExceeded, errs.Code(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	release()
	requireNone(t, wait())
	require.Contains(t, []int{2, 3, 4}, s.store.Runs(), "what was sent may have been done")
}

// A batch is cancelled when all its callers have given up.
func TestABatchEndsWithItsLastCaller(t *testing.T) {
	t.Parallel()
	s := share(t)
	come, release := s.hold("BatchStartRuns")
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	wait := s.crowded(t, s.startCalls(ctx, "a", "b", "c")...)
	<-come
	cancel()
	for _, err := range wait() {
		require.Equal(t, codes.Canceled, errs.Code(err))
	}
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.open == 0 }, 30*time.Second, time.Millisecond)
}

// Each call of a batch ends at its own deadline, with the error of a call of its own.
func TestDeadlinesAreEachCallersOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context, _ *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
			<-ctx.Done()
			return nil, errs.FromStatus(ctx.Err())
		}
		c := New(nil)
		c.starts.alone = hangs
		c.starts.many = func(ctx context.Context, _ []byte) ([]*operationsv1.StartRunResult, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begin := time.Now()
		var all sync.WaitGroup
		for _, patience := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 0} {
			all.Go(func() {
				ctx, want := t.Context(), 10*time.Second // of calls that are given none
				if patience != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, patience)
					defer cancel()
					want = patience
				}
				_, err := c.StartRun(ctx, startOf("a"))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, want, time.Since(begin))
			})
		}
		all.Wait()
	})
}

// A call that hangs keeps others waiting for stallAfter and no longer.
func TestAStalledCallHoldsNobody(t *testing.T) {
	t.Parallel()
	s := share(t)
	s.client.starts.patience = stallAfter
	come, release := s.hold("StartRun")
	var stalled errgroup.Group
	stalled.Go(s.startCall(context.WithoutCancel(t.Context()), startOf("stalled")))
	<-come
	for range 3 {
		var others errgroup.Group
		for i := range 10 {
			others.Go(s.startCall(t.Context(), startOf(fmt.Sprint(i))))
		}
		require.NoError(t, others.Wait(), "while the first is still in flight")
	}
	require.Equal(t, 10, s.store.Runs())
	release()
	require.NoError(t, stalled.Wait())
}

// A panic while a batch is sent fails its calls and not the process.
func TestAPanicOnTheWay(t *testing.T) {
	t.Parallel()
	s := share(t)
	come, release := s.hold("BatchStartRuns")
	wait := s.crowded(t, s.startCalls(t.Context(), "a", "b")...)
	<-come
	release()
	requireNone(t, wait())
	s.panics = true
	_, err := s.client.starts.batch(t.Context(), []byte{}, 2)
	require.Equal(t, codes.Internal, errs.Code(err))
	require.ErrorContains(t, err, "the line is cut", "the log must have the cause")
}

// Whatever the store returns, no caller waits for ever or gets the result of another.
func TestAStoreThatDoesNotAnswerEach(t *testing.T) {
	t.Parallel()
	for name, results := range map[string][]*operationsv1.StartRunResult{
		"too few": {{}}, "none": nil, "empty ones": {{}, {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := share(t)
			s.client.starts.many = func(context.Context, []byte) ([]*operationsv1.StartRunResult, error) { return results, nil }
			for _, err := range s.crowd(t, s.startCalls(t.Context(), "a", "b")...) {
				require.Equal(t, codes.Internal, errs.Code(err))
			}
		})
	}
}

// 10,000 callers at once make a few large calls, and need little memory beside their
// own.
func TestTenThousandCallers(t *testing.T) {
	t.Parallel()
	const callers = 10_000
	store := &counting{}
	s := shareOn(t, nil, func(r grpc.ServiceRegistrar) { operationsv1.RegisterRunServiceServer(r, store) })
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	come, release := s.hold("StartRun")
	var all errgroup.Group
	all.Go(s.startCall(context.WithoutCancel(t.Context()), startOf("first")))
	<-come
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	for i := range callers {
		all.Go(s.startCall(ctx, startOf(fmt.Sprint(i))))
	}
	require.Eventually(t, func() bool { return s.client.starts.queued() == callers }, time.Minute, 10*time.Millisecond)
	runtime.ReadMemStats(&during)
	require.Less(t, int64(during.StackInuse+during.HeapInuse)-int64(before.StackInuse+before.HeapInuse), int64(200<<20))
	release()
	require.NoError(t, all.Wait())
	require.EqualValues(t, callers+1, store.runs.Load())
	require.Equal(t, 1, s.most, "one call at a time")
	require.Len(t, s.made(), 1+callers/mostCalls)
	require.LessOrEqual(t, s.bytes, mostBytes)
}

// counting is a run store that starts every run and counts them.
type counting struct {
	operationsv1.UnimplementedRunServiceServer
	runs atomic.Int64
}

func (c *counting) StartRun(context.Context, *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	return &operationsv1.StartRunResponse{Run: &operationsv1.Run{Id: c.runs.Add(1)}, Started: true}, nil
}

func (c *counting) BatchStartRuns(ctx context.Context, req *operationsv1.BatchStartRunsRequest) (*operationsv1.BatchStartRunsResponse, error) {
	return worktest.Start(ctx, req, c.StartRun)
}

// Heartbeats and completions are collected too. Each gets its own response.
func TestHeartbeatsAndCompletionsGoTogether(t *testing.T) {
	t.Parallel()
	s := share(t)
	var ids []int64
	for i := range 20 {
		req := startOf(fmt.Sprint(i))
		resp, err := s.client.StartRun(t.Context(), req)
		require.NoError(t, err)
		_, err = s.client.BeginRun(t.Context(), &operationsv1.BeginRunRequest{RunId: resp.Run.Id, Holder: "us"})
		require.NoError(t, err)
		ids = append(ids, resp.Run.Id)
	}
	for _, id := range ids[:10] {
		_, err := s.client.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: id, Reason: fmt.Sprint("because of ", id)})
		require.NoError(t, err)
	}
	c, r := s.client.completes, s.client.reports
	c.patience, r.patience = time.Hour, time.Hour
	behind(t, s.line, "ReportProgress", r.queued, func(i int) error {
		resp, err := s.client.ReportProgress(t.Context(), &operationsv1.ReportProgressRequest{RunId: ids[i], LeaseEpoch: 1})
		if want := fmt.Sprint("because of ", ids[i]); err == nil && i < 10 && resp.CancelReason != want {
			return fmt.Errorf("%q is not %q", resp.CancelReason, want)
		}
		return err
	})
	behind(t, s.line, "CompleteRun", c.queued, func(i int) error {
		resp, err := s.client.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: ids[i], LeaseEpoch: 1, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED})
		if err == nil && resp.Run.Id != ids[i] {
			return errors.New("another's run")
		}
		return err
	})
	made := strings.Join(s.made(), " ")
	require.Contains(t, made, "ReportProgress BatchReportProgress CompleteRun BatchCompleteRuns")
}

// behind makes 20 calls: 19 wait while the first is held.
func behind(t *testing.T, l *line, method string, queued func() int, call func(i int) error) {
	t.Helper()
	come, release := l.hold(method)
	var all errgroup.Group
	all.Go(func() error { return call(0) })
	<-come
	for i := 1; i < 20; i++ {
		all.Go(func() error { return call(i) })
	}
	require.Eventually(t, func() bool { return queued() == 19 }, 30*time.Second, time.Millisecond)
	release()
	require.NoError(t, all.Wait())
}
