// Package statistics is the SQL of run statistics. [Store.Fold] adds runs that ended
// to sums by hour and by day; [Store.Summarize] reads the sums and adds to them what
// is not folded yet, so that it is always exact.
//
//	completed events   ● ● ● ● ● ● ● ● │ ○ ○ ○ ○
//	                   in the sums     │ counted by each Summarize
//	                   seen by run_stat_fold.seen
//
// The border is a snapshot, not a time: a transaction that commits late is folded
// late, but never twice and never left out. See package snapshot.
package statistics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
)

// Store keeps the statistics of the runs in one database.
type Store struct{ db *pgxpool.Pool }

// New returns the statistics of the runs in db, a pool of the application role.
func New(db *pgxpool.Pool) *Store { return &Store{db: db} }

// FoldLock is an advisory lock. Whoever writes sums of ended runs holds it until the
// end of the transaction. The number has no meaning.
const FoldLock = 0x666f_6c64

const (
	// stepEvents is about how many events one step folds. It may be more: the events
	// of one transaction are folded in one step.
	stepEvents = 20_000
	// maxUnfolded is how many unfolded events Summarize reads at most.
	maxUnfolded = 200_000
	// stepTimeout ends a step whose connection is dead. It is longer than the
	// statement timeout of the server, which ends everything else.
	stepTimeout = 150 * time.Second
)

// A step takes less than a second, unless one transaction ended very many runs.
const tryFoldLockSQL = `-- statistics.tryFoldLock
	select pg_try_advisory_xact_lock($1) from set_config('statement_timeout', '2min', true)`

// Returns the snapshot of what is folded, the snapshot of what can be folded, and the
// transaction of the event after the next $1 unfolded ones, if there are that many.
// The last column is false if the folded snapshot comes from another cluster, where
// transaction numbers mean something else.
const getFoldSQL = `-- statistics.getFold
	select seen::text, pg_current_snapshot()::text,
		(select txid from run_event where txid >= pg_snapshot_xmax(seen) order by txid offset $1 limit 1)::text::bigint,
		pg_snapshot_xmax(seen) <= pg_snapshot_xmax(pg_current_snapshot())
	from run_stat_fold`

// unfoldedSQL selects the measures of runs that ended in transactions which snapshot
// $3 sees and the folded snapshot (xmax $1, running $2) does not. Even if a
// transaction runs for hours, this reads nothing that the folded snapshot sees.
const unfoldedSQL = `
	(select * from run_measure where txid >= $1::text::xid8 and txid < pg_snapshot_xmax($3::text::pg_snapshot) and pg_visible_in_snapshot(txid, $3::text::pg_snapshot)
	union all
	select * from run_measure where txid = any($2::text[]::xid8[]) and pg_visible_in_snapshot(txid, $3::text::pg_snapshot))`

// A step without ended runs writes nothing, unless it is not the last one ($4).
const foldRunsSQL = `-- statistics.foldRuns
	with m as materialized (
		select workspace_id, type, date_trunc('hour', completed_at, 'UTC') as start_at, measure, key, count(*) as runs
		from ` + unfoldedSQL + ` u
		group by 1, 2, 3, 4, 5
	), s as (
		insert into run_stat (workspace_id, grain, measure, start_at, type, key, runs)
		select workspace_id, 'hour', measure, start_at, type, key, runs from m
		union all
		select workspace_id, 'day', measure, date_trunc('day', start_at, 'UTC'), type, key, sum(runs) from m group by 1, 2, 3, 4, 5, 6
		on conflict (workspace_id, grain, measure, start_at, type, key) do update set runs = run_stat.runs + excluded.runs
	), f as (
		update run_stat_fold set seen = $3::text::pg_snapshot, folded_at = clock_timestamp() where $4 or exists (select from m)
	)
	select coalesce(sum(runs), 0)::bigint from m where measure = 'outcome'`

var errForeignSnapshot = errors.New("the database was restored from a dump of another cluster, whose transaction numbers mean nothing here; " +
	"as its owner: update run_event set txid = null; update run_stat_fold set seen = pg_current_snapshot()")

// Fold adds every run that ended since the last fold to the statistics, exactly
// once, and returns how many it added. It works in steps, each in a transaction: if
// a step fails, those before it stay. Only one replica folds at a time; if another
// one does, Fold returns 0 and no error.
func (s *Store) Fold(ctx context.Context) (int64, error) {
	var folded int64
	for {
		n, more, err := s.foldStep(ctx, stepEvents)
		folded += n
		if err != nil {
			return folded, fmt.Errorf("fold statistics: %w", err)
		}
		if !more {
			return folded, nil
		}
	}
}

// foldStep folds about the next so many events. It returns how many runs it added,
// and whether there is more to fold.
func (s *Store) foldStep(ctx context.Context, events int) (folded int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var locked bool
		if err := tx.QueryRow(ctx, tryFoldLockSQL, FoldLock).Scan(&locked); err != nil || !locked {
			return err
		}
		f, err := prepareFold(ctx, tx, events)
		if err != nil {
			return err
		}
		more = f.more
		return tx.QueryRow(ctx, foldRunsSQL, append(f.args(), f.more)...).Scan(&folded)
	})
	if err != nil {
		return 0, false, err
	}
	return folded, more, nil
}

// fold is one step: the sums contain what folded sees, and will contain what until sees.
type fold struct {
	folded, until snapshot.Snapshot
	more          bool // until is not the newest snapshot
}

// args returns the first arguments of statements with [unfoldedSQL].
func (f fold) args() []any {
	return []any{f.folded.Xmax(), f.folded.Running(), f.until.String()}
}

// The planner cannot know how few runs are unfolded. If it expects many, it reads
// whole tables and compiles the statement, which takes seconds.
const planFoldSQL = `-- statistics.planFold
	select set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`

// prepareFold returns the step that folds about the next so many events.
func prepareFold(ctx context.Context, tx pgx.Tx, events int) (fold, error) {
	var f fold
	if _, err := tx.Exec(ctx, planFoldSQL); err != nil {
		return f, err
	}
	var folded, now string
	var next *int64
	var ours bool
	if err := tx.QueryRow(ctx, getFoldSQL, events).Scan(&folded, &now, &next, &ours); err != nil {
		return f, err
	}
	if !ours {
		return f, errForeignSnapshot
	}
	var err error
	if f.folded, err = snapshot.Parse(folded); err != nil {
		return f, err
	}
	if f.until, err = snapshot.Parse(now); err == nil && next != nil {
		f.until, f.more = f.until.UpTo(*next), true
	}
	return f, err
}
