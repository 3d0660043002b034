package api_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestAReferenceToARemovedRunSaysSo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	original, parent := w.at(t, "succeeded"), w.at(t, "succeeded")
	var id int64
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), `
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts, retry_of, retry_number, parent_run_id)
		values (1, 'x', 'inventory_sync', 'queued', 'pending', sha256('x'), now(), 3, $1, 1, $2) returning id`, original.Id, parent.Id).Scan(&id))
	require.Empty(t, w.get(t, id).RemovedReferences)
	owner, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	for _, step := range []struct {
		removed int64
		want    []string
	}{{original.Id, []string{"retry_of"}}, {parent.Id, []string{"parent_run_id", "retry_of"}}} {
		_, err := owner.Exec(t.Context(), "delete from operation_runs where id = $1", step.removed)
		require.NoError(t, err)
		got := w.get(t, id)
		require.Equal(t, step.want, got.RemovedReferences)
		require.Equal(t, original.Id, got.GetRetryOf(), "what it named stays said")
	}
}

// A request is answered as it was, though what it named has gone since.
func TestAStartIsReplayedAfterItsReferencesWereRemoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	original, parent := w.start(t, sync("a")), w.at(t, "succeeded")
	w.complete(t, w.begin(t, original.Id, "us"), failed)
	retry := sync("a")
	retry.RequestId, retry.RetryOf, retry.ParentRunId = "said", &original.Id, &parent.Id
	first := w.start(t, retry)
	owner, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	_, err = owner.Exec(t.Context(), "delete from operation_runs where id = any($1)", []int64{original.Id, parent.Id})
	require.NoError(t, err)

	again, err := w.runs.StartRun(t.Context(), retry)
	require.NoError(t, err)
	require.Equal(t, []any{first.Id, true, true}, []any{again.Run.Id, again.Started, again.Replayed})
	unsaid, other := sync("a"), sync("b")
	unsaid.RequestId, unsaid.RetryOf = "unsaid", &original.Id
	other.RequestId, other.RetryOf = "said", &original.Id
	batch, err := w.runs.BatchStartRuns(t.Context(), &operationsv1.BatchStartRunsRequest{
		Requests: []*operationsv1.StartRunRequest{retry, unsaid, other, sync("c")},
	})
	require.NoError(t, err)
	require.Equal(t, first.Id, batch.Results[0].GetResponse().GetRun().GetId())
	require.True(t, batch.Results[0].GetResponse().GetReplayed())
	require.Contains(t, batch.Results[1].GetError().GetMessage(), "there is no run")
	require.Contains(t, batch.Results[2].GetError().GetMessage(), "was used before")
	require.True(t, batch.Results[3].GetResponse().GetStarted())
	_, err = w.runs.StartRun(t.Context(), unsaid)
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
}
