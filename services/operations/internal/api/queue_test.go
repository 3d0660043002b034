package api_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

func waiting(workspace, tenant int64, inputs string) *operationsv1.StartRunRequest {
	req := sync(inputs)
	req.WorkspaceId, req.TenantId = workspace, nil
	if tenant != 0 {
		req.TenantId = &tenant
	}
	return req
}

func TestQueueOfAWorkspaceIsBounded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.store.LimitQueue(3)
	named := waiting(1, 1, "named")
	named.RequestId = "r1"
	first := w.start(t, named)
	w.start(t, waiting(1, 2, "a"))
	w.start(t, waiting(1, 0, "b"))

	_, err := w.runs.StartRun(t.Context(), waiting(1, 1, "one too many"))
	requireRefused(t, err, codes.ResourceExhausted, "RUN_QUEUE_FULL")
	e, _ := errs.As(errs.FromStatus(err))
	require.Equal(t, "3", e.Metadata()["queued"])
	require.Equal(t, "3", e.Metadata()["limit"])
	require.Positive(t, e.RetryAfter())

	again, err := w.runs.StartRun(t.Context(), named)
	require.NoError(t, err, "a request id that is known")
	require.True(t, again.Replayed)
	joined, err := w.runs.StartRun(t.Context(), waiting(1, 2, "a"))
	require.NoError(t, err, "the run is there already")
	require.False(t, joined.Started)
	held := waiting(1, 1, "held")
	held.Holder = "one"
	w.start(t, held)
	anyway := waiting(1, 2, "a")
	anyway.ConflictPolicy = operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING
	require.NotEqual(t, joined.Run.Id, w.start(t, anyway).Id, "it takes the place of another")
	w.start(t, waiting(2, 1, "another workspace"))

	w.begin(t, first.Id, "one")
	w.start(t, waiting(1, 1, "room again"))
}

// The bound holds within a statement that starts many, and refuses only those that
// have no room.
func TestQueueIsBoundedInABatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.store.LimitQueue(5)
	w.start(t, waiting(1, 1, "first"))
	req := &operationsv1.BatchStartRunsRequest{}
	for i := range 20 {
		r := waiting(int64(i%2+1), 1, fmt.Sprint(i))
		if i%5 == 0 {
			r.Holder = "one"
		}
		req.Requests = append(req.Requests, r)
	}
	resp, err := w.runs.BatchStartRuns(t.Context(), req)
	require.NoError(t, err)
	queued, refused := map[int64]int{1: 1}, map[int64]int{}
	for i, r := range resp.Results {
		switch ask := req.Requests[i]; {
		case r.GetError() != nil:
			refused[ask.WorkspaceId]++
			requireRefused(t, errs.FromStatus(status.FromProto(r.GetError()).Err()), codes.ResourceExhausted, "RUN_QUEUE_FULL")
		case ask.Holder == "":
			queued[ask.WorkspaceId]++
		}
	}
	// As the domain says, each to itself.
	for workspace, asked := range map[int64]int{1: 9, 2: 8} {
		a := run.Start{WorkspaceID: workspace}
		require.NoError(t, a.CheckRoom(queued[workspace]-1, 5))
		require.Error(t, a.CheckRoom(queued[workspace], 5))
		require.Equal(t, asked-queued[workspace], refused[workspace])
	}
}

// The statement and the domain agree on how many runs are ahead.
func TestRunsAhead(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var queue []run.Waiting
	for i := range 60 {
		workspace, tenant := rand.Int64N(3)+1, rand.Int64N(4) //nolint:gosec // a test's dice
		r := w.start(t, waiting(workspace, tenant, fmt.Sprint(i)))
		queue = append(queue, run.Waiting{ID: r.Id, WorkspaceID: workspace, TenantID: tenant})
	}
	for i := range 10 {
		w.begin(t, queue[0].ID, fmt.Sprint("holder ", i))
		require.Nil(t, w.get(t, queue[0].ID).RunsAhead, "it has begun")
		queue = queue[1:]
	}
	for _, q := range queue {
		require.EqualValues(t, run.Ahead(q.ID, queue), w.get(t, q.ID).GetRunsAhead(), "run %d of %v", q.ID, queue)
	}
}

// However many runs of one workspace are queued, those of others are listed, and of
// each tenant those that are next.
func TestDispatchableRunsOfAFlood(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.exec(t, `insert into operation_runs (workspace_id, tenant_id, type, status, outcome, run_identity_hash, queued_at, max_attempts, initiator_name)
		select 1, g % 2 + 1, 'inventory_sync', 'queued', 'pending', sha256(g::text::bytea), now() - interval '1 hour', 3, 'flood' from generate_series(1, 3000) g`)
	last := w.start(t, waiting(60, 1, "a"))
	var got []*operationsv1.DispatchableRun
	for workspace := range int64(70) { // more workspaces than are looked at for a page
		w.start(t, waiting(workspace+100, 0, "a"))
	}
	for req := (&operationsv1.ListDispatchableRunsRequest{Types: []string{"inventory_sync"}, PageSize: 150}); ; {
		resp, err := w.runs.ListDispatchableRuns(t.Context(), req)
		require.NoError(t, err)
		require.LessOrEqual(t, len(resp.Runs), 150)
		got = append(got, resp.Runs...)
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	seen := map[int64]bool{}
	flood := map[int64]int{}
	for _, r := range got {
		require.False(t, seen[r.RunId], "run %d is listed twice", r.RunId)
		seen[r.RunId] = true
		if r.WorkspaceId == 1 {
			flood[r.TenantId]++
		}
	}
	require.Equal(t, map[int64]int{1: 100, 2: 100}, flood)
	require.Len(t, got, 200+1+70)
	require.True(t, seen[last.Id])
}
