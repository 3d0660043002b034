package statistics

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/storetest"
)

// endOne inserts a run of workspace 3 that ended.
const endOne = `with r as (
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, created_at, completed_at, max_attempts)
		values (3, 'x', 'inventory_sync', 'completed', 'failed', sha256('x'), '2026-03-05T11:00:00Z', '2026-03-05T12:00:00Z', 3) returning id)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
	select id, 1, 'completed', 'x', 'completed', 'failed', 1, 1 from r`

// A statement about statistics costs what it returns, not what is stored, nor what
// has ended since a transaction in another database began.
func TestStatisticsReadWhatTheyNeed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", storetest.Migrate)
	elsewhere, err := pgtest.New(t, "operations", storetest.Migrate).Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, elsewhere.Rollback(t.Context())) }()
	_, err = elsewhere.Exec(t.Context(), "select pg_current_xact_id(), set_config('idle_in_transaction_session_timeout', '0', true)")
	require.NoError(t, err)
	s := New(db.Pool)
	stored := storetest.SeedMany(t, db)
	folded, err := s.Fold(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, stored, folded)
	storetest.Vacuum(t, db)
	storetest.Exec(t, db.Pool, storetest.SeedEnded, 20)

	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	f, err := prepareFold(t.Context(), tx, stepEvents)
	require.NoError(t, err)
	hour := time.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	for name, q := range map[string]struct {
		sql     string
		args    []any
		buffers int
	}{
		"fold":    {foldRunsSQL, append(f.args(), f.more), 1500},
		"summary": {summarizeEndedSQL, append(f.args(), 1, "hour", hour.Add(-48*time.Hour), hour, []string{}), 1000},
		"active":  {countActiveSQL, []any{1, []string{}, maxActive}, 10},
		"oldest":  {oldestActiveSQL, []any{1, []string{}}, 10},
	} {
		storetest.RequireCost(t, tx, name, q.buffers, q.sql, q.args...)
	}
}

// sums returns how many runs are in the sums, and how many the folded snapshot sees.
func sums(t *testing.T, db *pgxpool.Pool) (summed, seen int64) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), `
		select (select coalesce(sum(runs), 0)::bigint from run_stat where grain = 'day' and measure = 'outcome'),
			(select count(*) from run_event e, run_stat_fold f where e.kind = 'completed' and pg_visible_in_snapshot(e.txid, f.seen))`).Scan(&summed, &seen))
	return summed, seen
}

// If a step fails, the steps before it stay.
func TestABacklogIsFoldedInSteps(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", storetest.Migrate)
	s := New(db.Pool)
	storetest.Exec(t, db.Pool, storetest.SeedEnded, stepEvents+1)
	blocker, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = blocker.Rollback(context.WithoutCancel(t.Context())) }()
	storetest.Exec(t, db.Pool, endOne)
	_, err = blocker.Exec(t.Context(), "insert into run_stat values (3, 'day', 'outcome', '2026-03-05T00:00:00Z', 'inventory_sync', 'failed', 1)")
	require.NoError(t, err)

	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	storetest.RequireCost(t, tx, "looks no further than it must", 200, getFoldSQL, 100)
	require.NoError(t, tx.Rollback(t.Context()))

	folded, err := s.Fold(t.Context())
	require.Error(t, err, "the second step waits for the blocker")
	require.EqualValues(t, stepEvents+1, folded)
	summed, seen := sums(t, db.Pool)
	require.EqualValues(t, stepEvents+1, summed)
	require.Equal(t, summed, seen)
	require.NoError(t, blocker.Rollback(t.Context()))
	folded, err = s.Fold(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, folded)
}

// Transactions of any length end in any order, and folds of a few events each are often
// stopped. At each moment the sums contain exactly what the folded snapshot sees.
func TestStepsFoldEachRunOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", storetest.Migrate)
	s := New(db.Pool)
	const writers, transactions = 8, 25
	var writing errgroup.Group
	for range writers {
		writing.Go(func() error {
			for range transactions {
				err := pgx.BeginFunc(t.Context(), db.Pool, func(tx pgx.Tx) error {
					for range 1 + rand.IntN(3) {
						if _, err := tx.Exec(t.Context(), endOne+", pg_sleep($1)", rand.Float64()/100); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	written := make(chan error, 1)
	go func() { written <- writing.Wait() }()
	for over := false; !over; {
		select {
		case err := <-written:
			require.NoError(t, err)
			over = true
		default:
		}
		short, cancel := context.WithTimeout(t.Context(), time.Duration(1+rand.IntN(100))*time.Millisecond)
		_, _, _ = s.foldStep(short, rand.IntN(5))
		cancel()
		summed, seen := sums(t, db.Pool)
		require.Equal(t, seen, summed)
	}
	// A fold that was stopped may still hold the lock for a moment.
	require.Eventually(t, func() bool {
		_, _, err := s.foldStep(t.Context(), 3)
		require.NoError(t, err)
		summed, seen := sums(t, db.Pool)
		require.Equal(t, seen, summed)
		var ended int64
		require.NoError(t, db.Pool.QueryRow(t.Context(), "select count(*) from operation_runs").Scan(&ended))
		return summed == ended
	}, 30*time.Second, time.Millisecond)
}

// Summarize fails at once if too much is not folded. Folds also pass events that end nothing.
func TestASummaryOfTooMuchThatIsNotFoldedIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", storetest.Migrate)
	s := New(db.Pool)
	storetest.Exec(t, db.Pool, endOne)
	folded, err := s.Fold(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, folded)
	storetest.Exec(t, db.Pool, `insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select r.id, n, 'created', 'x', 'running', 'pending', 1, 1 from operation_runs r, generate_series(2, $1 + 1) n`, maxUnfolded+1)
	_, err = s.Summarize(t.Context(), Scope{WorkspaceID: 3, Grain: "hour"})
	require.ErrorIs(t, err, errBehind)
	folded, err = s.Fold(t.Context())
	require.NoError(t, err)
	require.Zero(t, folded)
	_, err = s.Summarize(t.Context(), Scope{WorkspaceID: 3, Grain: "hour"})
	require.NoError(t, err)
}

func TestRunsThatEndedBeforeThereWereStatisticsAreInThem(t *testing.T) {
	t.Parallel()
	runs, err := fs.ReadFile(store.Migrations(), "0001_runs.sql")
	require.NoError(t, err)
	db := pgtest.New(t, "operations", func(ctx context.Context, ownerURL string) error {
		return pg.Migrate(ctx, ownerURL, fstest.MapFS{"0001_runs.sql": {Data: runs}})
	})
	storetest.Exec(t, db.Pool, storetest.SeedEnded, 100)
	require.NoError(t, storetest.Migrate(t.Context(), db.OwnerURL))
	storetest.Exec(t, db.Pool, storetest.SeedEnded, 10)

	s := New(db.Pool)
	now := time.Now()
	for _, folded := range []int64{10, 0} {
		sum, err := s.Summarize(t.Context(), Scope{WorkspaceID: 1, Grain: "hour", From: now.Add(-4 * time.Hour), Until: now.Add(time.Hour)})
		require.NoError(t, err)
		ended := int64(0)
		for _, c := range sum.Counts {
			ended += c.Runs
		}
		require.EqualValues(t, 55, ended)
		n, err := s.Fold(t.Context())
		require.NoError(t, err)
		require.Equal(t, folded, n)
	}
}

// Transaction numbers of another cluster mean nothing here. They are noticed, not used.
func TestADumpOfAnotherClusterIsNoticed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", storetest.Migrate)
	storetest.Exec(t, db.Pool, "update run_stat_fold set seen = '1000000000:1000000000:'")
	s := New(db.Pool)
	_, err := s.Fold(t.Context())
	require.ErrorIs(t, err, errForeignSnapshot)
	_, err = s.Summarize(t.Context(), Scope{WorkspaceID: 1, Grain: "hour"})
	require.ErrorIs(t, err, errForeignSnapshot)
}
