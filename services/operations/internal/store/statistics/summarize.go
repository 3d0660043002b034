package statistics

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Scope says which runs to summarize: those of a workspace that ended at or after
// From and before Until.
type Scope struct {
	WorkspaceID int64
	Grain       string // length of the buckets: "hour" or "day"; From and Until are multiples of it
	From, Until time.Time
	Types       []string // empty: all
}

// types returns the types as an array for PostgreSQL: empty, not null, for all.
func (s Scope) types() []string { return append([]string{}, s.Types...) }

// Summary is the statistics of a workspace's runs.
type Summary struct {
	Counts          []Count
	Durations       map[string]run.Durations // by type
	Reasons         []ReasonCount            // the most frequent first
	Active          []ActiveCount
	ActiveTruncated bool // there are more active runs than are counted
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

var errBehind = errs.Unavailable("STATISTICS_BEHIND", "the statistics lag behind the runs that have ended; try again in a moment").RetryIn(5 * time.Second)

// Summarize returns the statistics of the runs in scope at one moment: what is
// folded and what is not, read in one snapshot. If too much is not folded, it
// returns an Unavailable error.
func (s *Store) Summarize(ctx context.Context, scope Scope) (*Summary, error) {
	sum := &Summary{Durations: map[string]run.Durations{}}
	err := pgx.BeginTxFunc(ctx, s.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		f, err := prepareFold(ctx, tx, maxUnfolded)
		if err != nil {
			return err
		}
		if f.more {
			return errBehind
		}
		if err := sum.readEnded(ctx, tx, scope, f); err != nil {
			return err
		}
		return sum.readActive(ctx, tx, scope)
	})
	if err != nil {
		return nil, fmt.Errorf("summarize runs: %w", err)
	}
	return sum, nil
}

// Adds the runs that are not folded (tail) to the sums. The tail is materialized so
// that the planner reads it by the index of transactions, whatever the scope is.
const summarizeEndedSQL = `-- statistics.summarizeEnded
	with tail as materialized (
		select workspace_id, measure, completed_at, type, key from ` + unfoldedSQL + ` u
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

func (sum *Summary) readEnded(ctx context.Context, tx pgx.Tx, scope Scope, f fold) error {
	rows, err := tx.Query(ctx, summarizeEndedSQL, append(f.args(), scope.WorkspaceID, scope.Grain, scope.From, scope.Until, scope.types())...)
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
			return sum.addDuration(typ, key, runs)
		}
		return nil
	})
	slices.SortStableFunc(sum.Reasons, func(a, b ReasonCount) int { return cmp.Compare(b.Runs, a.Runs) })
	return err
}

func (sum *Summary) addDuration(typ, key string, runs int64) error {
	bucket, err := strconv.Atoi(key)
	if sum.Durations[typ] == nil {
		sum.Durations[typ] = run.Durations{}
	}
	sum.Durations[typ][bucket] += runs
	return err
}

// maxActive is how many active runs are counted at most.
const maxActive = 10_000

const countActiveSQL = `-- statistics.countActive
	with a as materialized (
		select type, status from operation_runs
		where workspace_id = $1 and status <> 'completed' and origin = 'live' and (cardinality($2::text[]) = 0 or type = any($2))
		limit $3 + 1
	)
	select type, status, count(*), (select count(*) > $3 from a) from (select * from a limit $3) c
	group by type, status order by type, status`

// Takes the oldest run of each status, the first entry of an index, and then the
// older of the two. No index has the runs of both statuses in order.
const oldestActiveSQL = `-- statistics.oldestActive
	select min(oldest.created_at) from (values ('queued'), ('running')) s (status), lateral (
		select r.created_at from operation_runs r
		where r.workspace_id = $1 and r.status = s.status and r.status <> 'completed' and r.origin = 'live'
			and (cardinality($2::text[]) = 0 or r.type = any($2))
		order by r.created_at, r.id limit 1) oldest`

func (sum *Summary) readActive(ctx context.Context, tx pgx.Tx, scope Scope) error {
	rows, err := tx.Query(ctx, countActiveSQL, scope.WorkspaceID, scope.types(), maxActive)
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
	return tx.QueryRow(ctx, oldestActiveSQL, scope.WorkspaceID, scope.types()).Scan(&sum.OldestActive)
}
