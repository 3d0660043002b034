package store

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Two batches name the same runs in opposite orders, and a lock stops both midway. If
// statements did not lock runs in one order, each batch would now hold what the other
// waits for.
func TestCrossedBatchesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	pool, err := pg.Open(t.Context(), db.URL, 4, Settings()...)
	require.NoError(t, err)
	defer pool.Close()
	s := New(pool, run.DefaultTypes())
	outcomes := make(chan error, 100)
	s.progressGroup = commit.New(nil, "progress", func(c progressCall) commit.Keys { return commit.Keys{uint64(c.id)} }, observed(s.execProgress, outcomes))
	s.completeGroup = commit.New(nil, "complete", func(c completeCall) commit.Keys { return commit.Keys{uint64(c.id)} }, observed(s.execCompletes, outcomes))
	var reports []Report
	var endings []Completion
	for _, id := range leased(t, s, commit.Size) {
		reports = append(reports, Report{RunID: id, Epoch: 1})
		endings = append(endings, Completion{RunID: id, Completion: run.Completion{Epoch: 1, Outcome: run.Succeeded, Digest: []byte("d")}})
	}
	slices.Reverse(endings)

	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), "select from run_lease where run_id = $1 for update", reports[commit.Size/2].RunID)
	require.NoError(t, err)
	var calls errgroup.Group
	calls.Go(func() error { s.ProgressBatch(t.Context(), "inventory", reports); return nil })
	waitForLocks(t, db.Pool, 1)
	calls.Go(func() error { s.CompleteBatch(t.Context(), "inventory", endings); return nil })
	waitForLocks(t, db.Pool, 2)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, calls.Wait())
	require.Len(t, outcomes, 2, "each is one statement")
	require.NoError(t, <-outcomes)
	require.NoError(t, <-outcomes)
}

// observed returns exec that sends the error of each statement to outcomes.
func observed[C, R any](exec commit.Exec[C, R], outcomes chan<- error) commit.Exec[C, R] {
	return func(ctx context.Context, calls []C) ([]R, error) {
		results, err := exec(ctx, calls)
		outcomes <- err
		return results, err
	}
}

// leased starts n runs that are leased, and returns their ids.
func leased(t *testing.T, s *Store, n int) (ids []int64) {
	t.Helper()
	asks := make([]run.Start, n)
	for i := range asks {
		asks[i] = syncOf(fmt.Sprint("leased ", i))
		asks[i].Holder = "us"
	}
	started, refused := s.StartBatch(t.Context(), asks)
	for i := range asks {
		require.NoError(t, refused[i])
		ids = append(ids, started[i].Run.ID)
	}
	slices.Sort(ids)
	return ids
}

func syncOf(inputs string) run.Start {
	return run.Start{WorkspaceID: 1, InitiatorName: "x", Type: run.DefaultTypes()["inventory_sync"], IdentityInputs: inputs,
		Context: []byte("{}"), Caller: "inventory", Digest: []byte("digest")}
}

// waitForLocks waits until n statements wait for a lock.
func waitForLocks(t *testing.T, db *pgxpool.Pool, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		err := db.QueryRow(t.Context(), `select count(*) from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`).Scan(&waiting)
		return err == nil && waiting == n
	}, 10*time.Second, time.Millisecond)
}
