package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// FoldLock is the advisory lock that whoever writes sums of ended runs holds to the
// end of the transaction; any number will do.
const FoldLock = 0x666f_6c64

const (
	// foldStep is about how many events a step folds: those that were written in
	// one transaction are folded in one step.
	foldStep = 20_000
	// mostUnfolded is how many events that are not folded a summary looks at.
	mostUnfolded = 200_000
	// stepTimeout ends a step whose connection has gone dead without a word; the
	// server has ended its statement before.
	stepTimeout = 150 * time.Second
)

// A step takes less than a second, if no single transaction ended more runs.
const tryFoldLock = `-- store.tryFoldLock
	select pg_try_advisory_xact_lock($1) from set_config('statement_timeout', '2min', true)`

// Which runs are folded, which can be, and up to which transaction there are more
// than $1 events to fold. And whether the snapshot can be from this cluster at all:
// transaction numbers of another mean nothing here.
const getFold = `-- store.getFold
	select seen::text, pg_current_snapshot()::text,
		(select txid from run_event where txid >= pg_snapshot_xmax(seen) order by txid offset $1 limit 1)::text::bigint,
		pg_snapshot_xmax(seen) <= pg_snapshot_xmax(pg_current_snapshot())
	from run_stat_fold`

// What ended in transactions that one snapshot (its xmax, and its running ones) did
// not see, and another does: however long somebody else has been writing, not
// what the first did see.
const unfolded = `
	(select * from run_measure where txid >= $1::text::xid8 and txid < pg_snapshot_xmax($3::text::pg_snapshot) and pg_visible_in_snapshot(txid, $3::text::pg_snapshot)
	union all
	select * from run_measure where txid = any($2::text[]::xid8[]) and pg_visible_in_snapshot(txid, $3::text::pg_snapshot))`

// A step that finds no ended run writes nothing, unless there are more to come.
const foldRuns = `-- store.foldRuns
	with m as materialized (
		select workspace_id, type, date_trunc('hour', completed_at, 'UTC') as start_at, measure, key, count(*) as runs
		from ` + unfolded + ` u
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

// Fold adds the runs that ended since the last fold to the statistics, each
// exactly once, and answers how many they were. It goes in steps: what one has
// added stays, whatever becomes of the next. One replica folds at a time;
// another's turn is no error.
func (s *Store) Fold(ctx context.Context) (int64, error) {
	var folded int64
	for {
		n, more, err := s.foldSome(ctx, foldStep)
		folded += n
		if err != nil {
			return folded, fmt.Errorf("fold statistics: %w", err)
		}
		if !more {
			return folded, nil
		}
	}
}

// foldSome adds the runs that about the next so many events tell of, and answers
// how many they were and whether there is more.
func (s *Store) foldSome(ctx context.Context, events int) (folded int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, tryFoldLock, FoldLock).Scan(&mine); err != nil || !mine {
			return err
		}
		f, err := prepareFold(ctx, tx, events)
		if err != nil {
			return err
		}
		more = f.more
		return tx.QueryRow(ctx, foldRuns, append(f.args(), f.more)...).Scan(&folded)
	})
	if err != nil {
		return 0, false, err
	}
	return folded, more, nil
}

// fold is a step: the sums hold what seen sees, and are to hold what until does.
type fold struct {
	seen, until Snapshot
	more        bool
}

// args are those of [unfolded].
func (f fold) args() []any {
	return []any{f.seen.xmaxText(), f.seen.runningTexts(), f.until.String()}
}

// The planner has no idea how few runs are not folded yet, and must not compile
// for the many it fears.
const planFold = `-- store.planFold
	select set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`

func prepareFold(ctx context.Context, tx pgx.Tx, events int) (fold, error) {
	var f fold
	if _, err := tx.Exec(ctx, planFold); err != nil {
		return f, err
	}
	var seen, now string
	var next *int64
	var ours bool
	if err := tx.QueryRow(ctx, getFold, events).Scan(&seen, &now, &next, &ours); err != nil {
		return f, err
	}
	if !ours {
		return f, errForeignSnapshot
	}
	var err error
	if f.seen, err = parseSnapshot(seen); err != nil {
		return f, err
	}
	if f.until, err = parseSnapshot(now); err == nil && next != nil {
		f.until, f.more = f.until.upTo(*next), true
	}
	return f, err
}

// SummaryAsk says what to summarise: runs that ended from From until before Until.
type SummaryAsk struct {
	WorkspaceID int64
	Grain       string // "hour" or "day", of the buckets; From and Until are multiples
	From, Until time.Time
	Types       []string // empty: all
}

// Summary is the statistics of a workspace's runs.
type Summary struct {
	Counts          []Count
	Durations       map[string]run.Durations // by type
	Reasons         []ReasonCount            // the most frequent first
	Active          []ActiveCount
	ActiveTruncated bool
	OldestActive    *time.Time
}

// Count is how many runs of a type ended in a bucket with an outcome.
type Count struct {
	StartAt time.Time
	Type    string
	Outcome run.Outcome
	Runs    int64
}

// ActiveCount is how many runs of a type are active now.
type ActiveCount struct {
	Type   string
	Status run.Status
	Runs   int64
}

// ReasonCount says how many runs failed for a reason, given by its stored word.
type ReasonCount struct {
	Word string
	Runs int64
}

var errBehind = errs.Unavailable("STATISTICS_BEHIND", "more runs have ended than the statistics have taken in yet; they are being added").RetryIn(5 * time.Second)

// Summarize answers statistics, exact at the moment it looks: what is folded and
// what is not yet, in one snapshot. If too much is not, it is unavailable.
func (s *Store) Summarize(ctx context.Context, a SummaryAsk) (*Summary, error) {
	sum := &Summary{Durations: map[string]run.Durations{}}
	err := pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		f, err := prepareFold(ctx, tx, mostUnfolded)
		if err != nil {
			return err
		}
		if f.more {
			return errBehind
		}
		if err := sum.ended(ctx, tx, a, f); err != nil {
			return err
		}
		return sum.active(ctx, tx, a)
	})
	if err != nil {
		return nil, fmt.Errorf("summarize runs: %w", err)
	}
	return sum, nil
}

// The sums of a range, with what is not folded yet. The tail is kept apart, that
// nothing but its index be thought of.
const summarizeEnded = `-- store.summarizeEnded
	with tail as materialized (
		select workspace_id, measure, completed_at, type, key from ` + unfolded + ` u
	), stat as (
		select start_at, type, measure, key, runs from run_stat
		where workspace_id = $4 and grain = $5 and measure in ('outcome', 'duration', 'reason') and start_at >= $6 and start_at < $7
		union all
		select date_trunc($5, completed_at, 'UTC'), type, measure, key, 1 from tail
		where workspace_id = $4 and completed_at >= $6 and completed_at < $7
	)
	select case measure when 'outcome' then start_at end, case when measure <> 'reason' then type else '' end, measure, key, sum(runs)::bigint
	from stat where cardinality($8::text[]) = 0 or type = any($8)
	group by 1, 2, 3, 4 order by 1, 2, 4`

func (sum *Summary) ended(ctx context.Context, tx pgx.Tx, a SummaryAsk, f fold) error {
	rows, err := tx.Query(ctx, summarizeEnded, append(f.args(), a.WorkspaceID, a.Grain, a.From, a.Until, list(a.Types))...)
	if err != nil {
		return err
	}
	var start *time.Time
	var typ, measure, key string
	var runs int64
	_, err = pgx.ForEachRow(rows, []any{&start, &typ, &measure, &key, &runs}, func() error {
		switch measure {
		case "outcome":
			sum.Counts = append(sum.Counts, Count{StartAt: *start, Type: typ, Outcome: run.Outcome(key), Runs: runs})
		case "reason":
			sum.Reasons = append(sum.Reasons, ReasonCount{Word: key, Runs: runs})
		default:
			return sum.took(typ, key, runs)
		}
		return nil
	})
	slices.SortStableFunc(sum.Reasons, func(a, b ReasonCount) int { return cmp.Compare(b.Runs, a.Runs) })
	return err
}

func (sum *Summary) took(typ, key string, runs int64) error {
	bucket, err := strconv.Atoi(key)
	if sum.Durations[typ] == nil {
		sum.Durations[typ] = run.Durations{}
	}
	sum.Durations[typ][bucket] += runs
	return err
}

// activeLimit is how many active runs are counted at most.
const activeLimit = 10_000

const countActive = `-- store.countActive
	with a as materialized (
		select type, status from operation_runs
		where workspace_id = $1 and status <> 'completed' and origin = 'live' and (cardinality($2::text[]) = 0 or type = any($2))
		limit $3 + 1
	)
	select type, status, count(*), (select count(*) > $3 from a) from (select * from a limit $3) c
	group by type, status order by type, status`

// The oldest of each status is at the end of an index; together they are not.
const oldestActive = `-- store.oldestActive
	select min(oldest.created_at) from (values ('queued'), ('running')) s (status), lateral (
		select r.created_at from operation_runs r
		where r.workspace_id = $1 and r.status = s.status and r.status <> 'completed' and r.origin = 'live'
			and (cardinality($2::text[]) = 0 or r.type = any($2))
		order by r.created_at, r.id limit 1) oldest`

func (sum *Summary) active(ctx context.Context, tx pgx.Tx, a SummaryAsk) error {
	rows, err := tx.Query(ctx, countActive, a.WorkspaceID, list(a.Types), activeLimit)
	if err != nil {
		return err
	}
	var c ActiveCount
	_, err = pgx.ForEachRow(rows, []any{&c.Type, &c.Status, &c.Runs, &sum.ActiveTruncated}, func() error {
		sum.Active = append(sum.Active, c)
		return nil
	})
	if err != nil {
		return err
	}
	return tx.QueryRow(ctx, oldestActive, a.WorkspaceID, list(a.Types)).Scan(&sum.OldestActive)
}
