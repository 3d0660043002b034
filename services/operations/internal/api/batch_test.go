package api_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

func with(r *operationsv1.StartRunRequest, change func(*operationsv1.StartRunRequest)) *operationsv1.StartRunRequest {
	c := proto.CloneOf(r)
	change(c)
	return c
}

// bad returns starts that must be refused, each for another reason.
func bad(other int64) map[string]*operationsv1.StartRunRequest {
	return map[string]*operationsv1.StartRunRequest{
		"no workspace":        with(sync("a"), func(r *operationsv1.StartRunRequest) { r.WorkspaceId = 0 }),
		"no type":             with(sync("a"), func(r *operationsv1.StartRunRequest) { r.Type = "" }),
		"unknown type":        with(sync("a"), func(r *operationsv1.StartRunRequest) { r.Type = "nonsense" }),
		"another's type":      with(sync("a"), func(r *operationsv1.StartRunRequest) { r.Type = "restore_execute" }),
		"NUL":                 with(sync("a"), func(r *operationsv1.StartRunRequest) { r.InitiatorName = "a\x00b" }),
		"long inputs":         with(sync("a"), func(r *operationsv1.StartRunRequest) { r.IdentityInputs = string(make([]byte, 2000)) }),
		"foreign parent":      with(sync("a"), func(r *operationsv1.StartRunRequest) { r.ParentRunId = &other }),
		"retry of what is no": with(sync("a"), func(r *operationsv1.StartRunRequest) { r.RetryOf = proto.Int64(1 << 60) }),
		"reused request id":   with(sync("other"), func(r *operationsv1.StartRunRequest) { r.RequestId = "used" }),
		"twin, refused": with(sync("twin"), func(r *operationsv1.StartRunRequest) {
			r.ConflictPolicy = operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL
		}),
	}
}

// requireSame requires that an element of a batch was refused as the single call is.
func requireSame(t *testing.T, one error, element *statusv1.Status) {
	t.Helper()
	want, ok := errs.As(one)
	require.True(t, ok, "%v", one)
	got, ok := errs.As(errs.FromStatus(status.FromProto(element).Err()))
	require.True(t, ok, "%v", element)
	require.Equal(t, want, got)
}

func TestABadElementIsRefusedAsItsOwnCallWouldBeAndFailsNobodyElse(t *testing.T) {
	t.Parallel()
	w := setup(t)
	foreign := w.start(t, with(sync("x"), func(r *operationsv1.StartRunRequest) { r.WorkspaceId = 2 }))
	w.start(t, with(sync("used"), func(r *operationsv1.StartRunRequest) { r.RequestId = "used" }))
	twin := w.start(t, sync("twin"))
	req := &operationsv1.BatchStartRunsRequest{}
	var names []string
	for name, r := range bad(foreign.Id) {
		names = append(names, name, "good")
		req.Requests = append(req.Requests, r, sync("good beside "+name))
	}
	req.Requests = append(req.Requests, sync("twin"))
	resp, err := w.runs.BatchStartRuns(t.Context(), req)
	require.NoError(t, err)
	require.Len(t, resp.Results, len(req.Requests))
	for i, name := range names {
		result := resp.Results[i]
		if name == "good" {
			require.True(t, result.GetResponse().GetStarted(), "%v", result)
			require.Equal(t, queued, w.get(t, result.GetResponse().Run.Id).Status)
			continue
		}
		t.Log(name, result.GetError())
		_, one := w.runs.StartRun(t.Context(), req.Requests[i])
		requireSame(t, one, result.GetError())
	}
	joined := resp.Results[len(names)].GetResponse()
	require.Equal(t, twin.Id, joined.GetRun().GetId())
	require.False(t, joined.Started)
	require.Contains(t, w.svc.Logs(), fmt.Sprint("refused_entries=", len(names)/2))
}

func TestABatchForAUserDoesWhatTheUserMay(t *testing.T) {
	t.Parallel()
	w := setup(t)
	conn := w.svc.DialActor(t, "inventory", actor.Actor{UserID: 7, Name: "Ada", Memberships: []actor.Membership{
		{WorkspaceID: 1, Role: actor.Operator}, {WorkspaceID: 2, Role: actor.Readonly},
	}})
	runs := operationsv1.NewRunServiceClient(conn)
	req := &operationsv1.BatchStartRunsRequest{}
	for workspace := int64(1); workspace <= 3; workspace++ {
		req.Requests = append(req.Requests, with(sync("a"), func(r *operationsv1.StartRunRequest) { r.WorkspaceId = workspace }))
	}
	resp, err := runs.BatchStartRuns(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "Ada", resp.Results[0].GetResponse().GetRun().GetInitiatorName())
	for i, want := range map[int]codes.Code{1: codes.PermissionDenied, 2: codes.NotFound} {
		require.Equal(t, want, status.FromProto(resp.Results[i].GetError()).Code())
		_, one := runs.StartRun(t.Context(), req.Requests[i])
		requireSame(t, one, resp.Results[i].GetError())
	}
	foreign := w.start(t, with(sync("b"), func(r *operationsv1.StartRunRequest) { r.WorkspaceId = 3 }))
	ended, err := runs.BatchCompleteRuns(t.Context(), &operationsv1.BatchCompleteRunsRequest{Requests: []*operationsv1.CompleteRunRequest{
		{RunId: foreign.Id, Outcome: failed}, {RunId: resp.Results[0].GetResponse().Run.Id, Outcome: failed},
	}})
	require.NoError(t, err)
	require.Equal(t, codes.NotFound, status.FromProto(ended.Results[0].GetError()).Code())
	require.Equal(t, completed, ended.Results[1].GetResponse().GetRun().GetStatus())
}

func TestABatchOfHeartbeatsAndCompletionsAnswersEachItsOwn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	states := []string{"queued", "running", "taken over", "succeeded", "told to cancel", "released"}
	beat, end := &operationsv1.BatchReportProgressRequest{}, &operationsv1.BatchCompleteRunsRequest{}
	for _, state := range states {
		id := w.at(t, state).Id
		beat.Requests = append(beat.Requests, &operationsv1.ReportProgressRequest{RunId: id, LeaseEpoch: 1, SummaryCounts: map[string]int64{"seen": 3}})
		end.Requests = append(end.Requests, &operationsv1.CompleteRunRequest{RunId: id, LeaseEpoch: 1, Outcome: partially})
	}
	beat.Requests = append(beat.Requests, &operationsv1.ReportProgressRequest{RunId: 1 << 50}, &operationsv1.ReportProgressRequest{SummaryCounts: map[string]int64{"No": 1}})
	end.Requests = append(end.Requests, &operationsv1.CompleteRunRequest{RunId: 1 << 50, Outcome: failed}, &operationsv1.CompleteRunRequest{RunId: 1})

	beaten, err := w.runs.BatchReportProgress(t.Context(), beat)
	require.NoError(t, err)
	for i, req := range beat.Requests {
		response, err := w.runs.ReportProgress(t.Context(), req)
		if err != nil {
			requireSame(t, err, beaten.Results[i].GetError())
			continue
		}
		require.Equal(t, response.CancelRequested, beaten.Results[i].GetResponse().GetCancelRequested())
		require.NotNil(t, beaten.Results[i].GetResponse().GetLeaseExpireTime())
		require.EqualValues(t, 3, w.get(t, req.RunId).SummaryCounts["seen"])
	}
	ended, err := w.runs.BatchCompleteRuns(t.Context(), end)
	require.NoError(t, err)
	for i, req := range end.Requests {
		response, err := w.runs.CompleteRun(t.Context(), req) // a repetition of what the batch has done
		if err != nil {
			requireSame(t, err, ended.Results[i].GetError())
			continue
		}
		require.Equal(t, partially, ended.Results[i].GetResponse().GetRun().GetOutcome())
		require.Equal(t, response.Run.UpdateTime.AsTime(), ended.Results[i].GetResponse().Run.UpdateTime.AsTime())
	}
}

func TestAThousandElementsAreFewStatements(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // more than a call has by default
	defer cancel()
	parent := w.start(t, sync("parent"))
	req := &operationsv1.BatchStartRunsRequest{}
	for i := range 1000 {
		req.Requests = append(req.Requests, with(sync(fmt.Sprint("child ", i)), func(r *operationsv1.StartRunRequest) {
			r.ParentRunId, r.Holder, r.RequestId = &parent.Id, "us", fmt.Sprint("child ", i)
		}))
	}
	resp, err := w.runs.BatchStartRuns(ctx, req)
	require.NoError(t, err)
	end := &operationsv1.BatchCompleteRunsRequest{}
	for i, r := range resp.Results {
		require.True(t, r.GetResponse().GetStarted(), "%d: %v", i, r)
		end.Requests = append(end.Requests, &operationsv1.CompleteRunRequest{RunId: r.GetResponse().Run.Id, LeaseEpoch: 1, Outcome: succeeded})
	}
	ended, err := w.runs.BatchCompleteRuns(ctx, end)
	require.NoError(t, err)
	for _, r := range ended.Results {
		require.Equal(t, succeeded, r.GetResponse().GetRun().GetOutcome())
	}
	require.LessOrEqual(t, w.commits(t), 2*5+2, "calls that wait share a commit: 256 at a time")

	again, err := w.runs.BatchStartRuns(ctx, req) // the response was lost: each call gets the same result again
	require.NoError(t, err)
	for i, r := range again.Results {
		require.True(t, r.GetResponse().GetReplayed())
		require.Equal(t, resp.Results[i].GetResponse().Run.Id, r.GetResponse().Run.Id)
	}
}

// commits returns how many transactions wrote events.
func (w *world) commits(t *testing.T) int {
	t.Helper()
	var n int
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select count(distinct xmin::text) from run_event").Scan(&n))
	return n
}

func TestABatchHasBounds(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.runs.BatchStartRuns(t.Context(), &operationsv1.BatchStartRunsRequest{})
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
	req := &operationsv1.BatchStartRunsRequest{Requests: make([]*operationsv1.StartRunRequest, 1001)}
	for i := range req.Requests {
		req.Requests[i] = sync("a")
	}
	_, err = w.runs.BatchStartRuns(t.Context(), req)
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
}

// A row stays locked. The call that needs it is refused within seconds; its error says to try
// again; all other calls succeed.
func TestALockedRunFailsItsOwnCallsOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ lock, call string }{
		"begin":    {"select from operation_runs where id = $1 for update", "begin"},
		"progress": {"select from run_lease where run_id = $1 for update", "progress"},
		"complete": {"select from operation_runs where id = $1 for update", "succeed"},
		"cancel":   {"select from operation_runs where id = $1 for update", "cancel"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			state := "running"
			if tt.call == "begin" {
				state = "queued"
			}
			locked := w.at(t, state)
			var others []*operationsv1.Run
			for range 20 {
				others = append(others, w.at(t, state))
			}
			tx, err := w.db.Pool.BeginTx(t.Context(), pgx.TxOptions{})
			require.NoError(t, err)
			defer tx.Rollback(t.Context())
			_, err = tx.Exec(t.Context(), tt.lock, locked.Id)
			require.NoError(t, err)

			var blocked, calls errgroup.Group
			blocked.Go(func() error { return w.say(t, tt.call, locked, 1) })
			for _, r := range others {
				calls.Go(func() error { return w.say(t, tt.call, r, 1) })
			}
			require.NoError(t, calls.Wait())
			err = blocked.Wait()
			requireRefused(t, err, codes.Aborted, "LOST_RACE")
			require.NoError(t, tx.Rollback(t.Context()))
			require.NoError(t, w.say(t, tt.call, locked, 1), "and saying it again works")
		})
	}
}

// A start waits for a transaction that is about to commit its twin, but not for ever, and
// no other call waits with it.
func TestAStartWaitsForAnUncommittedTwinOnlySoLong(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.start(t, sync("a"))
	w.cancel(t, first.Id)
	tx, err := w.db.Pool.BeginTx(t.Context(), pgx.TxOptions{})
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), `insert into operation_runs (workspace_id, type, initiator_name, status, outcome, run_identity_hash, queued_at, max_attempts)
		select workspace_id, type, initiator_name, 'queued', 'pending', run_identity_hash, queued_at, max_attempts from operation_runs where id = $1`, first.Id)
	require.NoError(t, err)
	var waiting, calls errgroup.Group
	waiting.Go(func() error { _, err := w.runs.StartRun(t.Context(), sync("a")); return err })
	for i := range 20 {
		calls.Go(func() error { _, err := w.runs.StartRun(t.Context(), sync(fmt.Sprint("other ", i))); return err })
	}
	require.NoError(t, calls.Wait())
	requireRefused(t, waiting.Wait(), codes.Aborted, "LOST_RACE")
	require.NoError(t, tx.Commit(t.Context()))
	resp, err := w.runs.StartRun(t.Context(), sync("a"))
	require.NoError(t, err)
	require.False(t, resp.Started, "the response is the twin")
}
