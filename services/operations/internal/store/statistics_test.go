package store

import (
	"context"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// seedEnded makes runs that ended one a minute until now, half of them in
// workspace 1, under a thousand identities.
const seedEnded = `with r as (
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash,
			created_at, updated_at, queued_at, started_at, completed_at, attempt, lease_epoch, max_attempts, event_count)
		select 1 + i % 2, 'x', (array['inventory_sync', 'entra_group_sync', 'restore_preview'])[1 + i % 3], 'completed', 'succeeded',
			sha256(convert_to((i % 1000)::text, 'UTF8')), e.at - interval '1 second', e.at, e.at, e.at - interval '1 second', e.at, 1, 1, 3, 1
		from generate_series($1::int, 1, -1) i, lateral (select now() - make_interval(mins => i) as at) e
		returning id, status, outcome)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
	select id, 1, 'completed', 'inventory', status, outcome, 1, 1 from r`

// endOne is a run of workspace 3.
const endOne = `with r as (
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, created_at, completed_at, max_attempts)
		values (3, 'x', 'inventory_sync', 'completed', 'failed', sha256('x'), '2026-03-05T11:00:00Z', '2026-03-05T12:00:00Z', 3) returning id)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
	select id, 1, 'completed', 'x', 'completed', 'failed', 1, 1 from r`

func execute(t *testing.T, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// What statistics and retention ask costs what they answer with, not what is
// stored, nor what ended since somebody in another database began to write.
func TestStatisticsAndRetentionLookAtWhatTheyNeed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	elsewhere, err := pgtest.New(t, "operations", migrate).Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, elsewhere.Rollback(t.Context())) }()
	_, err = elsewhere.Exec(t.Context(), "select pg_current_xact_id(), set_config('idle_in_transaction_session_timeout', '0', true)")
	require.NoError(t, err)
	types := run.DefaultTypes()
	s := New(db.Pool, types)
	stored := 40_000
	if os.Getenv("TENANTPILOT_BIG") != "" {
		stored = 1_000_000
	}
	owner, err := pgx.Connect(t.Context(), db.OwnerURL) // without a statement timeout
	require.NoError(t, err)
	defer func() { require.NoError(t, owner.Close(t.Context())) }()
	_, err = owner.Exec(t.Context(), seedEnded, stored)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), "vacuum analyze")
	require.NoError(t, err)
	folded, err := s.Fold(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, stored, folded)
	_, err = owner.Exec(t.Context(), "vacuum analyze")
	require.NoError(t, err)
	execute(t, db.Pool, seedEnded, 20)

	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	f, err := prepareFold(t.Context(), tx, foldStep)
	require.NoError(t, err)
	hour := time.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	days := hour.AddDate(0, 0, -20)
	for about, q := range map[string]struct {
		sql     string
		args    []any
		buffers int
	}{
		"fold":     {foldRuns, append(f.args(), f.more), 1500},
		"summary":  {summarizeEnded, append(f.args(), 1, "hour", hour.Add(-48*time.Hour), hour, []string{}), 1000},
		"active":   {countActive, []any{1, []string{}, activeLimit}, 10},
		"oldest":   {oldestActive, []any{1, []string{}}, 10},
		"kept":     {keptFrom, []any{1, "inventory_sync", 99}, 150},
		"old runs": {oldRuns, []any{1, "inventory_sync", time.Time{}, 0, days, 0, days, true, 100}, 2500},
		"removal":  {listWorkspaces, nil, 60},
	} {
		got, plan := cost(t, tx, q.sql, q.args)
		t.Logf("%s: %d buffers", about, got)
		require.LessOrEqual(t, got, q.buffers, "%s\n%s", about, plan)
	}
}

// cost answers how many blocks sql touches, and by what plan. It is asked twice:
// at first the connection reads the catalog too, of which it knows no more than
// earlier statements needed.
func cost(t *testing.T, tx pgx.Tx, sql string, args []any) (buffers int, plan string) {
	t.Helper()
	explained(t, tx, sql, args)
	return explained(t, tx, sql, args)
}

func explained(t *testing.T, tx pgx.Tx, sql string, args []any) (buffers int, plan string) {
	t.Helper()
	sp, err := tx.Begin(t.Context()) // of a statement that writes, nothing stays
	require.NoError(t, err)
	defer func() { require.NoError(t, sp.Rollback(t.Context())) }()
	sql = strings.TrimSpace(sql)
	var raw []byte
	require.NoError(t, sp.QueryRow(t.Context(), "explain (analyze, buffers, format json) "+sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...).Scan(&raw))
	var said []struct {
		Plan map[string]any
	}
	require.NoError(t, json.Unmarshal(raw, &said))
	return int(said[0].Plan["Shared Hit Blocks"].(float64) + said[0].Plan["Shared Read Blocks"].(float64)), string(raw)
}

// sums answers how many runs are in the sums, and how many the snapshot says are.
func sums(t *testing.T, db *pgxpool.Pool) (summed, seen int64) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), `
		select (select coalesce(sum(runs), 0)::bigint from run_stat where grain = 'day' and measure = 'outcome'),
			(select count(*) from run_event e, run_stat_fold f where e.kind = 'completed' and pg_visible_in_snapshot(e.txid, f.seen))`).Scan(&summed, &seen))
	return summed, seen
}

// What one step has added stays, whatever becomes of the next.
func TestABacklogIsFoldedInSteps(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	s := New(db.Pool, run.DefaultTypes())
	execute(t, db.Pool, seedEnded, foldStep+1)
	blocker, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = blocker.Rollback(context.WithoutCancel(t.Context())) }()
	execute(t, db.Pool, endOne)
	_, err = blocker.Exec(t.Context(), "insert into run_stat values (3, 'day', 'outcome', '2026-03-05T00:00:00Z', 'inventory_sync', 'failed', 1)")
	require.NoError(t, err)

	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	buffers, plan := cost(t, tx, getFold, []any{100})
	require.LessOrEqual(t, buffers, 200, "looks no further than it must\n%s", plan)
	require.NoError(t, tx.Rollback(t.Context()))

	folded, err := s.Fold(t.Context())
	require.Error(t, err, "the second step waits for the blocker")
	require.EqualValues(t, foldStep+1, folded)
	summed, seen := sums(t, db.Pool)
	require.EqualValues(t, foldStep+1, summed)
	require.Equal(t, summed, seen)
	require.NoError(t, blocker.Rollback(t.Context()))
	folded, err = s.Fold(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, folded)
}

// Transactions of any length that end in any order, folds of a few events each
// that often die: the sums hold what the snapshot sees, at each moment.
func TestStepsFoldEachRunOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	s := New(db.Pool, run.DefaultTypes())
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
		_, _, _ = s.foldSome(short, rand.IntN(5))
		cancel()
		summed, seen := sums(t, db.Pool)
		require.Equal(t, seen, summed)
	}
	// A fold whose caller has gone may still hold the lock for a moment.
	require.Eventually(t, func() bool {
		_, _, err := s.foldSome(t.Context(), 3)
		require.NoError(t, err)
		summed, seen := sums(t, db.Pool)
		require.Equal(t, seen, summed)
		var ended int64
		require.NoError(t, db.Pool.QueryRow(t.Context(), "select count(*) from operation_runs").Scan(&ended))
		return summed == ended
	}, 30*time.Second, time.Millisecond)
}

// What is behind says so at once, and folds catch up over events that end nothing.
func TestASummaryOfTooMuchThatIsNotFoldedIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	s := New(db.Pool, run.DefaultTypes())
	execute(t, db.Pool, endOne)
	folded, err := s.Fold(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, folded)
	execute(t, db.Pool, `insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select r.id, n, 'created', 'x', 'running', 'pending', 1, 1 from operation_runs r, generate_series(2, $1 + 1) n`, mostUnfolded+1)
	_, err = s.Summarize(t.Context(), SummaryAsk{WorkspaceID: 3, Grain: "hour"})
	require.ErrorIs(t, err, errBehind)
	folded, err = s.Fold(t.Context())
	require.NoError(t, err)
	require.Zero(t, folded)
	_, err = s.Summarize(t.Context(), SummaryAsk{WorkspaceID: 3, Grain: "hour"})
	require.NoError(t, err)
}

func TestRunsThatEndedBeforeThereWereStatisticsAreInThem(t *testing.T) {
	t.Parallel()
	runs, err := fs.ReadFile(Migrations(), "0001_runs.sql")
	require.NoError(t, err)
	db := pgtest.New(t, "operations", func(ctx context.Context, ownerURL string) error {
		return pg.Migrate(ctx, ownerURL, fstest.MapFS{"0001_runs.sql": {Data: runs}})
	})
	execute(t, db.Pool, seedEnded, 100)
	require.NoError(t, migrate(t.Context(), db.OwnerURL))
	execute(t, db.Pool, seedEnded, 10)

	s := New(db.Pool, run.DefaultTypes())
	now := time.Now()
	for _, folded := range []int64{10, 0} {
		sum, err := s.Summarize(t.Context(), SummaryAsk{WorkspaceID: 1, Grain: "hour", From: now.Add(-4 * time.Hour), Until: now.Add(time.Hour)})
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

// Transaction numbers of another cluster say nothing here, and nothing is
// guessed from them.
func TestADumpOfAnotherClusterIsNoticed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	execute(t, db.Pool, "update run_stat_fold set seen = '1000000000:1000000000:'")
	s := New(db.Pool, run.DefaultTypes())
	_, err := s.Fold(t.Context())
	require.ErrorIs(t, err, errForeignSnapshot)
	_, err = s.Summarize(t.Context(), SummaryAsk{WorkspaceID: 1, Grain: "hour"})
	require.ErrorIs(t, err, errForeignSnapshot)
}
