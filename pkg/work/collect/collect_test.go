package collect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// line is the connection of a client. It records the calls that are made and can hold
// them.
type line struct {
	mu     sync.Mutex
	calls  []string // "StartRun", "BatchStartRuns"
	bytes  int      // of the largest request
	open   int      // calls that have not returned
	most   int      // the highest open
	held   map[string]chan struct{}
	reach  map[string]chan struct{} // closed when a held call has come
	panics bool
}

func (l *line) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	hold := l.enter(path.Base(method), req)
	defer l.leave()
	if l.panics {
		panic("the line is cut")
	}
	select {
	case <-hold:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	return invoke(ctx, method, req, reply, conn, opts...)
}

// enter records a call and returns the channel that the call waits for.
func (l *line) enter(name string, req any) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, name)
	l.open++
	l.most = max(l.most, l.open)
	if m, ok := req.(proto.Message); ok {
		l.bytes = max(l.bytes, proto.Size(m))
	}
	if hold, ok := l.held[name]; ok {
		close(l.reach[name])
		delete(l.held, name)
		return hold
	}
	free := make(chan struct{})
	close(free)
	return free
}

func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// hold holds the next call of a method. come is closed when the call has come, and
// release lets it go on.
func (l *line) hold(method string) (come <-chan struct{}, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, reach := make(chan struct{}), make(chan struct{})
	l.held[method], l.reach[method] = held, reach
	return reach, sync.OnceFunc(func() { close(held) })
}

func (l *line) made() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.calls...)
}

// shared is a run store and a client that many callers share.
type shared struct {
	*line
	store  *worktest.Store
	ops    *rpctest.Service
	client *Client
}

func share(t *testing.T) *shared {
	t.Helper()
	store := worktest.New(worktest.Options{})
	return shareOn(t, store, store.Register)
}

func shareOn(t *testing.T, store *worktest.Store, register func(grpc.ServiceRegistrar)) *shared {
	t.Helper()
	s := &shared{line: &line{held: map[string]chan struct{}{}, reach: map[string]chan struct{}{}}, store: store}
	s.ops = rpctest.Serve(t, "operations", register)
	s.client = New(s.ops.Dial(t, "inventory", grpc.WithChainUnaryInterceptor(s.intercept)))
	s.client.starts.patience = time.Hour // a busy machine must not change what goes together
	return s
}

func startOf(name string) *operationsv1.StartRunRequest {
	return &operationsv1.StartRunRequest{WorkspaceId: 1, Type: worktest.Type, IdentityInputs: name}
}

// crowd makes calls that are collected into one batch: it makes them while another
// call is held, and releases that one when they all wait.
func (s *shared) crowd(t *testing.T, calls ...func() error) []error {
	t.Helper()
	done := s.crowded(t, calls...)
	return done()
}

// crowded is crowd in two steps: the function it returns waits for the calls.
func (s *shared) crowded(t *testing.T, calls ...func() error) func() []error {
	t.Helper()
	come, release := s.hold("StartRun")
	var first errgroup.Group
	first.Go(func() error {
		_, err := s.client.StartRun(context.WithoutCancel(t.Context()), startOf("the first"))
		return err
	})
	<-come
	results := make([]error, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { results[i] = call() })
	}
	require.Eventually(t, func() bool { return s.client.starts.queued() == len(calls) }, 30*time.Second, time.Millisecond)
	release()
	require.NoError(t, first.Wait())
	return func() []error { all.Wait(); return results }
}

func (s *shared) startCall(ctx context.Context, req *operationsv1.StartRunRequest) func() error {
	return func() error { _, err := s.client.StartRun(ctx, req); return err }
}

func (s *shared) startCalls(ctx context.Context, names ...string) (calls []func() error) {
	for _, name := range names {
		calls = append(calls, s.startCall(ctx, startOf(name)))
	}
	return calls
}

func requireNone(t *testing.T, failed []error) {
	t.Helper()
	require.NoError(t, errors.Join(failed...))
}

func TestACallThatIsAloneIsMadeAsItIs(t *testing.T) {
	t.Parallel()
	s := share(t)
	resp, err := s.client.StartRun(t.Context(), startOf("a"))
	require.NoError(t, err)
	begun, err := s.client.BeginRun(t.Context(), &operationsv1.BeginRunRequest{RunId: resp.Run.Id, Holder: "us"})
	require.NoError(t, err)
	_, err = s.client.ReportProgress(t.Context(), &operationsv1.ReportProgressRequest{RunId: resp.Run.Id, LeaseEpoch: begun.Run.LeaseEpoch})
	require.NoError(t, err)
	_, err = s.client.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: resp.Run.Id, LeaseEpoch: begun.Run.LeaseEpoch, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED})
	require.NoError(t, err)
	require.Equal(t, []string{"StartRun", "BeginRun", "ReportProgress", "CompleteRun"}, s.made())
}

// Calls that come while one is in flight make one batch. Each gets its own response.
func TestCallsAtTheSameTimeGoTogether(t *testing.T) {
	t.Parallel()
	s := share(t)
	var mu sync.Mutex
	got := map[string]*operationsv1.Run{}
	var calls []func() error
	for i := range 20 {
		calls = append(calls, func() error {
			req := startOf(fmt.Sprint(i))
			req.Context, _ = structpb.NewStruct(map[string]any{"n": i, "list": []any{true, nil, "x"}})
			resp, err := s.client.StartRun(t.Context(), req)
			mu.Lock()
			defer mu.Unlock()
			got[req.IdentityInputs] = resp.GetRun()
			if err == nil && !proto.Equal(req.Context, resp.Run.Context) {
				return fmt.Errorf("the context of %v", resp)
			}
			return err
		})
	}
	requireNone(t, s.crowd(t, calls...))
	require.Equal(t, []string{"StartRun", "BatchStartRuns"}, s.made())
	ids := map[int64]bool{}
	for _, r := range got {
		ids[r.Id] = true
		require.Equal(t, s.store.Get(r.Id).Context.String(), r.Context.String())
	}
	require.Len(t, ids, 20)
}

// Whatever is wrong with one call of a batch, the others do not fail with it.
func TestABadCallFailsForItselfOnly(t *testing.T) {
	t.Parallel()
	long, err := structpb.NewStruct(map[string]any{"note": strings.Repeat("x", 5<<20)})
	require.NoError(t, err)
	big, err := structpb.NewStruct(map[string]any{"note": strings.Repeat("x", 3<<20)})
	require.NoError(t, err)
	tests := map[string]struct {
		change func(*operationsv1.StartRunRequest)
		want   codes.Code
	}{
		"breaks a rule":          {func(r *operationsv1.StartRunRequest) { r.WorkspaceId = 0 }, codes.InvalidArgument},
		"is no UTF-8":            {func(r *operationsv1.StartRunRequest) { r.InitiatorName = "\xff" }, codes.Internal},
		"is larger than a batch": {func(r *operationsv1.StartRunRequest) { r.Context = big }, codes.OK},
		"is too large":           {func(r *operationsv1.StartRunRequest) { r.Context = long }, codes.InvalidArgument},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := share(t)
			bad := startOf("bad")
			tt.change(bad)
			results := s.crowd(t, append(s.startCalls(t.Context(), "a", "b"), append(s.startCalls(t.Context(), "c"), s.startCall(t.Context(), bad))...)...)
			requireNone(t, results[:3])
			require.Equal(t, tt.want, errs.Code(results[3]), "%v", results[3])
			_, alone := operationsv1.NewRunServiceClient(s.ops.Dial(t, "inventory")).StartRun(t.Context(), bad)
			require.Equal(t, fmt.Sprint(alone), fmt.Sprint(results[3]), "the error of a call of its own")
		})
	}
}

// 100 calls of 60 KiB are more than the bytes of a batch, and do not fail.
func TestLargeCallsGoInSeveralBatches(t *testing.T) {
	t.Parallel()
	s := share(t)
	var calls []func() error
	for i := range 100 {
		req := startOf(fmt.Sprint(i))
		req.Context, _ = structpb.NewStruct(map[string]any{"note": strings.Repeat("x", 60<<10)})
		calls = append(calls, s.startCall(t.Context(), req))
	}
	requireNone(t, s.crowd(t, calls...))
	require.Equal(t, []string{"StartRun", "BatchStartRuns", "BatchStartRuns", "BatchStartRuns"}, s.made())
	require.LessOrEqual(t, s.bytes, mostBytes)
	require.Equal(t, 101, s.store.Runs())
}

// Calls of several users and of the service itself share a batch. None is made in the
// name of another, in particular not of the caller who was first.
func TestEachCallIsMadeForItsOwnUser(t *testing.T) {
	t.Parallel()
	store := worktest.New(worktest.Options{})
	names := &named{Store: store, seen: map[string]string{}}
	s := shareOn(t, store, func(r grpc.ServiceRegistrar) { operationsv1.RegisterRunServiceServer(r, names) })
	member := func(id, workspace int64) actor.Actor {
		return actor.Actor{UserID: id, Memberships: []actor.Membership{{WorkspaceID: workspace, Role: actor.Operator}}}
	}
	as := func(a actor.Actor, at time.Time) context.Context {
		return actor.WithToken(t.Context(), a, s.ops.TokenAt(t, a, at))
	}
	ada, ben := as(member(7, 1), time.Now()), as(member(8, 1), time.Now())
	foreign, old := as(member(9, 2), time.Now()), as(member(10, 1), time.Now().Add(-time.Hour))
	results := s.crowd(t, s.startCall(ada, startOf("ada")), s.startCall(ben, startOf("ben")), s.startCall(t.Context(), startOf("nobody")),
		s.startCall(foreign, startOf("foreign")), s.startCall(old, startOf("old")))
	requireNone(t, results[:3])
	require.Equal(t, codes.NotFound, errs.Code(results[3]))
	require.Equal(t, codes.Unauthenticated, errs.Code(results[4]))
	require.Equal(t, []string{"StartRun", "BatchStartRuns"}, s.made())
	require.Equal(t, map[string]string{"ada": "7", "ben": "8", "nobody": "none"}, names.seen)
	for _, ctx := range []context.Context{ada, ben, foreign, old} {
		for part := range strings.SplitSeq(actor.TokenFrom(ctx), ".") {
			require.NotContains(t, s.ops.Logs(), part)
			require.NotContains(t, fmt.Sprint(results), part)
		}
	}
}

// named is a run store that records the user of each start.
type named struct {
	*worktest.Store
	mu   sync.Mutex
	seen map[string]string
}

func (n *named) BatchStartRuns(ctx context.Context, req *operationsv1.BatchStartRunsRequest) (*operationsv1.BatchStartRunsResponse, error) {
	return worktest.Start(ctx, req, func(ctx context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.seen[req.GetIdentityInputs()] = "none"
		if a, ok := actor.From(ctx); ok {
			n.seen[req.GetIdentityInputs()] = fmt.Sprint(a.UserID)
		}
		return n.StartRun(ctx, req)
	})
}

// The context in a response is a copy: a caller may change it.
func TestTheContextOfANewRunIsACopy(t *testing.T) {
	t.Parallel()
	sent, err := structpb.NewStruct(map[string]any{
		"s": "x", "n": 1.5, "b": true, "null": nil, "list": []any{"a", []any{}, map[string]any{}}, "object": map[string]any{"k": map[string]any{"l": 1}},
	})
	require.NoError(t, err)
	got := copyObject(sent)
	require.True(t, proto.Equal(sent, got), "%v is not %v", got, sent)
	want := sent.String()
	got.Fields["object"].GetStructValue().Fields["k"] = structpb.NewNullValue()
	got.Fields["list"].GetListValue().Values[0] = structpb.NewNullValue()
	require.Equal(t, want, sent.String())
	require.NotNil(t, copyObject(nil).Fields)
}
