package store

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// If another transaction commits a request id first, the shared statement fails, and each
// of its calls is repeated alone. Runs that were rolled back are not counted.
func TestRunsOfAStatementThatFailedAreNotCounted(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	s := New(db.Pool, run.DefaultTypes())
	var asks []run.Start
	for _, inputs := range []string{"a", "b", "c"} {
		asks = append(asks, syncOf(inputs))
	}
	asks[1].RequestID = "said twice"
	elsewhere, err := s.Start(t.Context(), syncOf("d"))
	require.NoError(t, err)
	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), insertJoinSQL, 1, "inventory", "said twice", elsewhere.Run.ID, []byte("digest"))
	require.NoError(t, err)

	var calls errgroup.Group
	calls.Go(func() error {
		started, refused := s.StartBatch(t.Context(), asks)
		require.Equal(t, []error{nil, nil, nil}, refused)
		require.Equal(t, elsewhere.Run.ID, started[1].Run.ID)
		return nil
	})
	waitForLocks(t, db.Pool, 1)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, calls.Wait())
	var runs float64
	require.NoError(t, db.Pool.QueryRow(t.Context(), "select count(*) from operation_runs").Scan(&runs))
	require.InDelta(t, runs, testutil.ToFloat64(s.metrics.started.WithLabelValues("inventory_sync")), 0)
}
