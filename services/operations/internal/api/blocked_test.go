package api_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Somebody sits on a row: who needs it is told to try again within seconds, and
// nobody else is told anything but their own answer.
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

// A twin that another transaction is about to commit is waited for, not for ever,
// and by nobody else.
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
	require.False(t, resp.Started, "the twin is answered")
}
