package api_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
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
