package api_test

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
	syncpkg "sync" // sync is a request here
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/work/collect"
)

func operator(id int64, name string, workspaces ...int64) actor.Actor {
	a := actor.Actor{UserID: id, Name: name}
	for _, w := range workspaces {
		a.Memberships = append(a.Memberships, actor.Membership{WorkspaceID: w, Role: actor.Operator})
	}
	return a
}

func startEntry(req *operationsv1.StartRunRequest, token string) *operationsv1.StartRunEntry {
	return &operationsv1.StartRunEntry{Request: req, Headers: &operationsv1.EntryHeaders{ActorToken: token}}
}

// Users of two workspaces and the service itself share a batch: each starts what it
// may start, under its own name and in its own trace, and gets the result
// that a call of its own would get.
func TestEntriesAreMadeEachForItsOwnUser(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ada, ben := w.svc.Token(t, operator(7, "Ada", 1)), w.svc.Token(t, operator(8, "Ben", 2))
	old := w.svc.TokenAt(t, operator(9, "Old", 1), time.Now().Add(-time.Hour))
	in := func(workspace int64) *operationsv1.StartRunRequest {
		return with(sync("a"), func(r *operationsv1.StartRunRequest) { r.WorkspaceId = workspace })
	}
	forBen := with(in(1), func(r *operationsv1.StartRunRequest) { r.UserId = proto.Int64(8) })
	entries := []*operationsv1.StartRunEntry{
		startEntry(in(1), ada), startEntry(in(2), ben), startEntry(in(3), ""), // these three may
		startEntry(in(2), ada), startEntry(in(1), ben), startEntry(in(1), old), startEntry(forBen, ada), startEntry(in(1), "x.y.z"),
	}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	entries[0].Headers.Traceparent = trace
	resp, err := w.runs.BatchStartRuns(t.Context(), &operationsv1.BatchStartRunsRequest{Entries: entries})
	require.NoError(t, err)
	for i, who := range []struct {
		user  int64
		name  string
		trace string
	}{{7, "Ada", trace}, {8, "Ben", ""}, {0, "inventory", ""}} {
		r := resp.Results[i].GetResponse().GetRun()
		require.Equal(t, who.user, r.GetUserId(), "%d: %v", i, resp.Results[i])
		require.Equal(t, who.name, r.GetInitiatorName())
		require.Equal(t, who.trace, r.GetTraceparent())
	}
	for i, want := range []codes.Code{codes.NotFound, codes.NotFound, codes.Unauthenticated, codes.InvalidArgument, codes.Unauthenticated} {
		e := entries[i+3]
		require.Equal(t, want, status.FromProto(resp.Results[i+3].GetError()).Code(), "%d: %v", i, resp.Results[i+3])
		_, one := w.runs.StartRun(actor.WithToken(t.Context(), actor.Actor{}, e.Headers.ActorToken), e.Request)
		requireSame(t, one, resp.Results[i+3].GetError())
	}
	require.Contains(t, w.svc.Logs(), "entries=8 refused_entries=5 users=2")
	requireNoToken(t, w.svc.Logs(), ada, ben, old)
}

func requireNoToken(t *testing.T, text string, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		for part := range strings.SplitSeq(token, ".") {
			require.NotContains(t, text, part)
		}
	}
}

// An entry about another workspace's run is told that there is none.
func TestEntriesMoveOnlyRunsTheirUsersMaySee(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ours, theirs := w.at(t, "running"), w.start(t, with(sync("b"), func(r *operationsv1.StartRunRequest) { r.WorkspaceId, r.Holder = 2, "us" }))
	h := &operationsv1.EntryHeaders{ActorToken: w.svc.Token(t, operator(7, "Ada", 1))}
	beat := &operationsv1.BatchReportProgressRequest{}
	end := &operationsv1.BatchCompleteRunsRequest{}
	for _, id := range []int64{ours.Id, theirs.Id} {
		beat.Entries = append(beat.Entries, &operationsv1.ReportProgressEntry{Headers: h, Request: &operationsv1.ReportProgressRequest{RunId: id, LeaseEpoch: 1}})
		end.Entries = append(end.Entries, &operationsv1.CompleteRunEntry{Headers: h, Request: &operationsv1.CompleteRunRequest{RunId: id, LeaseEpoch: 1, Outcome: failed}})
	}
	beaten, err := w.runs.BatchReportProgress(t.Context(), beat)
	require.NoError(t, err)
	require.NotNil(t, beaten.Results[0].GetResponse())
	require.Equal(t, codes.NotFound, status.FromProto(beaten.Results[1].GetError()).Code())
	ended, err := w.runs.BatchCompleteRuns(t.Context(), end)
	require.NoError(t, err)
	require.Equal(t, completed, ended.Results[0].GetResponse().GetRun().GetStatus())
	require.Equal(t, codes.NotFound, status.FromProto(ended.Results[1].GetError()).Code())
	require.Equal(t, running, w.get(t, theirs.Id).Status)
}

// A call that no shared statement can do is not done in the batch; the client makes it
// by itself.
func TestEntriesThatWouldKeepOthersWaitingAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start(t, sync("twin"))
	w.start(t, with(sync("said"), func(r *operationsv1.StartRunRequest) { r.RequestId = "said" }))
	starts := &operationsv1.BatchStartRunsRequest{Entries: []*operationsv1.StartRunEntry{
		startEntry(sync("twin"), ""),
		startEntry(with(sync("said"), func(r *operationsv1.StartRunRequest) { r.RequestId = "said" }), ""),
		startEntry(with(sync("child"), func(r *operationsv1.StartRunRequest) { r.ParentRunId = proto.Int64(1 << 60) }), ""),
		startEntry(sync("new"), ""),
	}}
	started, err := w.runs.BatchStartRuns(t.Context(), starts)
	require.NoError(t, err)
	for i, alone := range []bool{true, true, true, false} {
		require.Equal(t, alone, started.Results[i].GetAlone(), "%d: %v", i, started.Results[i])
	}
	require.True(t, started.Results[3].GetResponse().GetStarted())
	require.Equal(t, 3, w.runCount(t))

	states := []string{"queued", "taken over", "succeeded", "running"}
	beat, end := &operationsv1.BatchReportProgressRequest{}, &operationsv1.BatchCompleteRunsRequest{}
	for _, state := range states {
		id := w.at(t, state).Id
		beat.Entries = append(beat.Entries, &operationsv1.ReportProgressEntry{Request: &operationsv1.ReportProgressRequest{RunId: id, LeaseEpoch: 1}})
		end.Entries = append(end.Entries, &operationsv1.CompleteRunEntry{Request: &operationsv1.CompleteRunRequest{RunId: id, LeaseEpoch: 1, Outcome: partially}})
	}
	beaten, err := w.runs.BatchReportProgress(t.Context(), beat)
	require.NoError(t, err)
	ended, err := w.runs.BatchCompleteRuns(t.Context(), end)
	require.NoError(t, err)
	for i, state := range states {
		require.Equal(t, state != "running", beaten.Results[i].GetAlone(), state)
		require.Equal(t, state != "running", ended.Results[i].GetAlone(), state)
		if events := w.events(t, end.Entries[i].Request.RunId); state != "running" {
			require.NotContains(t, events, "late_completion_rejected", "nothing was done")
		}
	}
	require.Equal(t, partially, ended.Results[3].GetResponse().GetRun().GetOutcome())
}

func (w *world) runCount(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select count(*) from operation_runs").Scan(&n))
	return n
}

// Ended runs are shown whole. Those for which the response has no room have ended
// as well, and completing them again returns them.
func TestWholeRunsAreShownAsLongAsThereIsRoom(t *testing.T) {
	t.Parallel()
	w := setup(t)
	long, err := structpb.NewStruct(map[string]any{"note": strings.Repeat("x", 60<<10)})
	require.NoError(t, err)
	starts, end := &operationsv1.BatchStartRunsRequest{}, &operationsv1.BatchCompleteRunsRequest{}
	for batch := range 6 {
		starts.Entries = nil
		for i := range 60 { // as many as a request may have bytes for
			starts.Entries = append(starts.Entries, startEntry(with(sync(fmt.Sprint(batch, i)), func(r *operationsv1.StartRunRequest) { r.Context, r.Holder = long, "us" }), ""))
		}
		started, err := w.runs.BatchStartRuns(t.Context(), starts)
		require.NoError(t, err)
		for _, r := range started.Results {
			require.Nil(t, r.GetResponse().GetRun().GetContext(), "the caller has it")
			end.Entries = append(end.Entries, &operationsv1.CompleteRunEntry{Request: &operationsv1.CompleteRunRequest{
				RunId: r.GetResponse().GetRun().GetId(), LeaseEpoch: 1, Outcome: failed, FailureSummary: []*operationsv1.Failure{{Reason: operationsv1.FailureReason_FAILURE_REASON_INTERNAL, Message: "no"}},
			}})
		}
	}
	ended, err := w.runs.BatchCompleteRuns(t.Context(), end)
	require.NoError(t, err)
	shown := 0
	for i, r := range ended.Results {
		if again, err := w.runs.CompleteRun(t.Context(), end.Entries[i].Request); r.GetAlone() {
			require.NoError(t, err)
			require.Equal(t, failed, again.Run.Outcome)
			continue
		}
		shown++
		require.Equal(t, long.String(), r.GetResponse().GetRun().GetContext().String())
		require.Len(t, r.GetResponse().GetRun().GetFailureSummary(), 1)
	}
	require.Less(t, shown, len(ended.Results))
	require.Greater(t, shown, 200)
	require.Less(t, proto.Size(ended), 17<<20)
}

func TestABatchHasOneList(t *testing.T) {
	t.Parallel()
	w := setup(t)
	both := &operationsv1.BatchStartRunsRequest{Requests: []*operationsv1.StartRunRequest{sync("a")}, Entries: []*operationsv1.StartRunEntry{startEntry(sync("b"), "")}}
	_, err := w.runs.BatchStartRuns(t.Context(), both)
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
	many := &operationsv1.BatchReportProgressRequest{Entries: make([]*operationsv1.ReportProgressEntry, 1001)}
	for i := range many.Entries {
		many.Entries[i] = &operationsv1.ReportProgressEntry{}
	}
	_, err = w.runs.BatchReportProgress(t.Context(), many)
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
	empty, err := w.runs.BatchCompleteRuns(t.Context(), &operationsv1.BatchCompleteRunsRequest{Entries: []*operationsv1.CompleteRunEntry{{}, {
		Request: &operationsv1.CompleteRunRequest{RunId: 1, Outcome: failed}, Headers: &operationsv1.EntryHeaders{Timeout: durationpb.New(-1)},
	}}})
	require.NoError(t, err)
	require.Equal(t, codes.InvalidArgument, status.FromProto(empty.Results[0].GetError()).Code(), "an entry without a request is a bad request")
	require.Equal(t, codes.DeadlineExceeded, status.FromProto(empty.Results[1].GetError()).Code())
}

// collecting returns a client that collects, and how many batches it has sent. The
// first call of a method is held until a batch is on its way: the others go together.
func (w *world) collecting(t *testing.T) (*collect.Client, *atomic.Int32) {
	t.Helper()
	var batches atomic.Int32
	var first, sent syncpkg.Map // by what a method moves: "StartRun", "StartRuns" in a batch
	intercept := func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		name := strings.TrimSuffix(path.Base(method), "s")
		of, isBatch := strings.CutPrefix(name, "Batch")
		went, _ := sent.LoadOrStore(strings.TrimSuffix(of, "s"), make(chan struct{}))
		if _, again := first.LoadOrStore(name, true); !again && isBatch {
			batches.Add(1)
			close(went.(chan struct{}))
		} else if !again {
			<-went.(chan struct{})
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	return collect.New(w.svc.Dial(t, "inventory", grpc.WithChainUnaryInterceptor(intercept))), &batches
}

// asks are starts of all kinds, and the runs that stand in their way, for one of two
// ways to make them.
func (w *world) asks(t *testing.T, way string) []*operationsv1.StartRunRequest {
	t.Helper()
	of := func(what string, change func(*operationsv1.StartRunRequest)) *operationsv1.StartRunRequest {
		return with(sync(way+" "+what), change)
	}
	none := func(*operationsv1.StartRunRequest) {}
	object, err := structpb.NewStruct(map[string]any{"selection_hash": "x", "n": 1, "deep": []any{map[string]any{"a": nil}}})
	require.NoError(t, err)
	for _, what := range []string{"twin", "twin to cancel", "twin at work", "twin, refused"} {
		w.start(t, of(what, func(r *operationsv1.StartRunRequest) {
			if what == "twin at work" {
				r.Holder = "them"
			}
		}))
	}
	said := func(r *operationsv1.StartRunRequest) { r.RequestId = way }
	w.start(t, of("said before", said))
	ended := w.complete(t, w.start(t, of("ended", func(r *operationsv1.StartRunRequest) { r.Holder = "us" })), failed)
	anyway := func(r *operationsv1.StartRunRequest) {
		r.ConflictPolicy = operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING
	}
	asks := []*operationsv1.StartRunRequest{
		of("new", none), of("held", func(r *operationsv1.StartRunRequest) { r.Holder = "us" }),
		of("with a context", func(r *operationsv1.StartRunRequest) { r.Context = object }),
		of("with an empty one", func(r *operationsv1.StartRunRequest) { r.Context = &structpb.Struct{} }),
		of("with a request id", func(r *operationsv1.StartRunRequest) { r.RequestId = way + " new" }),
		of("twin", none), of("twin to cancel", anyway), of("twin at work", anyway), of("said before", said),
		of("ended", func(r *operationsv1.StartRunRequest) { r.RetryOf = &ended.Id }),
		of("child", func(r *operationsv1.StartRunRequest) { r.ParentRunId = &ended.Id }),
	}
	for _, name := range []string{"no workspace", "no type", "unknown type", "another's type", "NUL", "retry of what is no"} {
		asks = append(asks, with(bad(ended.Id)[name], func(r *operationsv1.StartRunRequest) { r.IdentityInputs = way + " " + name }))
	}
	return asks
}

// same makes the responses and errors of two ways comparable: without ids and times.
func same(resp proto.Message, err error) string {
	text := fmt.Sprint(err)
	if err == nil {
		c := proto.Clone(resp)
		if shown, ok := c.(interface{ GetRun() *operationsv1.Run }); ok {
			r := shown.GetRun()
			r.Id, r.RunIdentityHash, r.RetryOf, r.ParentRunId = 0, "", nil, nil
			for _, at := range []**timestamppb.Timestamp{&r.CreateTime, &r.UpdateTime, &r.QueueTime, &r.StartTime, &r.CompleteTime, &r.LeaseExpireTime, &r.CancelRequestTime} {
				if *at != nil {
					*at = &timestamppb.Timestamp{Seconds: 1}
				}
			}
		} else if beat, ok := c.(*operationsv1.ReportProgressResponse); ok {
			beat.LeaseExpireTime = &timestamppb.Timestamp{Seconds: 1}
		}
		raw, _ := protojson.Marshal(c)
		return regexp.MustCompile(`\s`).ReplaceAllString(string(raw), "")
	}
	return fmt.Sprint(errs.Code(err), errs.Reason(err), regexp.MustCompile(`\d+`).ReplaceAllString(text, "N"))
}

// Every call, made at the same time as many others, gets what it would get alone.
func TestCollectedCallsGetWhatTheirOwnWouldGet(t *testing.T) {
	t.Parallel()
	w := setup(t)
	client, batches := w.collecting(t)
	alone, together := w.asks(t, "alone"), w.asks(t, "together")
	compare(t, alone, together, w.runs.StartRun, client.StartRun)

	states := []string{"queued", "running", "taken over", "succeeded", "told to cancel", "released"}
	var beats, ends [2][]int64
	for _, state := range states {
		for way := range 2 {
			beats[way] = append(beats[way], w.at(t, state).Id)
			ends[way] = append(ends[way], w.at(t, state).Id)
		}
	}
	beat := func(id int64) *operationsv1.ReportProgressRequest {
		return &operationsv1.ReportProgressRequest{RunId: id, LeaseEpoch: 1, SummaryCounts: map[string]int64{"seen": 3}}
	}
	end := func(id int64) *operationsv1.CompleteRunRequest {
		return &operationsv1.CompleteRunRequest{RunId: id, LeaseEpoch: 1, Outcome: failed, SummaryCounts: map[string]int64{"seen": 3},
			FailureSummary: []*operationsv1.Failure{{Reason: operationsv1.FailureReason_FAILURE_REASON_INTERNAL, Message: "no"}}}
	}
	compare(t, each(beats[0], beat), each(beats[1], beat), w.runs.ReportProgress, client.ReportProgress)
	compare(t, each(ends[0], end), each(ends[1], end), w.runs.CompleteRun, client.CompleteRun)
	require.EqualValues(t, 3, batches.Load(), "a batch of each kind")
}

func each[Q any](ids []int64, of func(int64) Q) (all []Q) {
	for _, id := range ids {
		all = append(all, of(id))
	}
	return all
}

// compare makes the calls of alone one after the other, and those of together at the
// same time.
func compare[Q, R proto.Message](t *testing.T, alone, together []Q, one, many func(context.Context, Q, ...grpc.CallOption) (R, error)) {
	t.Helper()
	got := make([]string, len(together))
	var all syncpkg.WaitGroup
	for i, req := range together {
		all.Go(func() {
			resp, err := many(t.Context(), req)
			got[i] = strings.ReplaceAll(same(resp, err), "together", "alone")
		})
	}
	all.Wait()
	for i, req := range alone {
		resp, err := one(t.Context(), req)
		require.Equal(t, same(resp, err), got[i], "%d: %v", i, req)
	}
}
