// Package transfer makes runs of the operations database out of legacy rows, and removes
// them again. It writes nothing into the legacy database.
package transfer

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// Copied counts what [Copy] did.
type Copied struct {
	Rows     int64    // rows that are runs now, whether or not they were before
	Inserted int64    // runs of new rows and of changed ones
	Removed  int64    // runs of changed rows and of deleted ones
	Bridges  []Bridge // of rows whose bridge column does not name their run yet
}

// Bridge is the value of a row's bridge column, and the run that it has to name.
type Bridge struct {
	ID       int64
	Old, New *int64
}

// takeoverName is the actor of the events that the tool writes.
const takeoverName = "takeover"

// Copy makes the runs of a span of source agree with its rows: it inserts missing runs,
// replaces those whose row has changed, and removes those whose row is deleted or linked
// to another run. So any number of calls, complete or interrupted, ends in the same state.
// It is one transaction of the operations database. The rows are piped from one database
// into the other; few of them are in memory at a time.
func Copy(ctx context.Context, l *ledger.Ledger, source string, s ledger.Span) (Copied, error) {
	var c Copied
	err := l.Retried(ctx, func() error {
		b, err := l.BlockOf(ctx, source)
		if err == nil {
			c, err = copySpan(ctx, l, b, s)
		}
		return err
	})
	if err != nil {
		return c, fmt.Errorf("copy rows %d to %d of %s: %w", s.After+1, s.Until, source, err)
	}
	return c, nil
}

func copySpan(ctx context.Context, l *ledger.Ledger, b ledger.Block, s ledger.Span) (c Copied, err error) {
	out, err := l.Legacy.Acquire(ctx)
	if err != nil {
		return c, err
	}
	defer out.Release()
	err = pgx.BeginFunc(ctx, l.Operations, func(tx pgx.Tx) error {
		for _, prepare := range []string{planSpan, makeIncoming} {
			if _, err := tx.Exec(ctx, prepare); err != nil {
				return err
			}
		}
		if c.Rows, err = pipe(ctx, out, tx, b.Source, s); err != nil {
			return err
		}
		if c.Bridges, err = query.Collect[Bridge](ctx, tx, readBridges); err != nil {
			return err
		}
		if c.Removed, err = settleKnown(ctx, tx, b, s); err != nil {
			return err
		}
		c.Inserted, err = insertIncoming(ctx, tx)
		return err
	})
	return c, err
}

// The planner cannot know that a span has few runs, nor how many runs there will be when
// it uses a cached plan again.
const planSpan = `-- takeover.planSpan
	select set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '64MB', true)`

const makeIncoming = `-- takeover.makeIncoming
	create temporary table if not exists takeover_incoming (
		id bigint not null, legacy_id bigint not null, link text not null, bridge bigint, workspace_id bigint not null, tenant_id bigint, user_id bigint,
		initiator_name text not null, type text not null, status text not null, outcome text not null, run_identity_hash bytea not null,
		summary_counts jsonb not null, failure_summary jsonb not null, context jsonb not null,
		started_at timestamptz, completed_at timestamptz, created_at timestamptz not null, updated_at timestamptz not null
	) on commit delete rows`

// A copy statement takes no parameters, so that settings of the session hold them.
const setSpan = `-- takeover.setSpan
	select set_config('takeover.after', $1::bigint::text, false), set_config('takeover.until', $2::bigint::text, false)`

// Rows without a workspace stay behind: adopt could not take over their tenant.
const copyOut = `copy (
	select run_id, legacy_id, link, bridge, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context, started_at, completed_at, created_at, updated_at
	from tenantpilot_takeover.mapped_{source}
	where legacy_id > current_setting('takeover.after')::bigint and legacy_id <= current_setting('takeover.until')::bigint
		and link in ('adopt', 'imported', 'unlinked', 'dangling', 'duplicate', 'mismatched') and workspace_id is not null
) to stdout (format binary)`

const copyIn = `copy takeover_incoming from stdin (format binary)`

// pipeBuffer lets rows cross in large pieces. Without it, each row waits for the other side.
const pipeBuffer = 256 << 10

// pipe copies the runs that a span of source becomes into the incoming table, and returns
// their number.
func pipe(ctx context.Context, from *pgxpool.Conn, to pgx.Tx, source string, s ledger.Span) (rows int64, err error) {
	if _, err := from.Exec(ctx, setSpan, s.After, s.Until); err != nil {
		return 0, err
	}
	r, w := io.Pipe()
	out := make(chan error, 1)
	go func() {
		buffered := bufio.NewWriterSize(w, pipeBuffer)
		_, err := from.Conn().PgConn().CopyTo(ctx, buffered, legacy.In(source, copyOut))
		if err == nil {
			err = buffered.Flush()
		}
		_ = w.CloseWithError(err) // nil ends the stream
		out <- err
	}()
	tag, err := to.Conn().PgConn().CopyFrom(ctx, r, copyIn)
	_ = r.CloseWithError(err)
	return tag.RowsAffected(), errors.Join(<-out, err) // if the second is the cause, the first repeats it
}

// A span that was never copied has no runs; this finds out cheaply.
const readKnown = `-- takeover.readKnown
	select r.id, m.id is null or (r.workspace_id, r.tenant_id, r.user_id, r.initiator_name, r.type, r.status, r.outcome, r.run_identity_hash,
			r.summary_counts, r.failure_summary, r.context, r.started_at, r.completed_at, r.created_at, r.updated_at)
		is distinct from (m.workspace_id, m.tenant_id, m.user_id, m.initiator_name, m.type, m.status, m.outcome, m.run_identity_hash,
			m.summary_counts, m.failure_summary, m.context, m.started_at, m.completed_at, m.created_at, m.updated_at)
	from operation_runs r left join takeover_incoming m on m.id = r.id
	where r.id > $1 and r.id <= $2 and r.origin = 'legacy' and r.context -> 'legacy' ->> 'source' = $3`

type known struct {
	ID       int64
	Outdated bool
}

const forgetKnown = `-- takeover.forgetKnown
	delete from takeover_incoming where id = any($1)`

// settleKnown removes the runs of a span that differ from the incoming rows, and those
// incoming rows whose runs do not differ. The remaining rows have to be inserted.
func settleKnown(ctx context.Context, tx pgx.Tx, b ledger.Block, s ledger.Span) (removed int64, err error) {
	runs, err := query.Collect[known](ctx, tx, readKnown, b.Base+s.After, b.Base+s.Until, b.Source)
	if err != nil || len(runs) == 0 {
		return 0, err
	}
	var right, outdated []int64
	for _, r := range runs {
		if r.Outdated {
			outdated = append(outdated, r.ID)
		} else {
			right = append(right, r.ID)
		}
	}
	if len(outdated) > 0 {
		if err := forgetRuns(ctx, tx, outdated); err != nil {
			return 0, err
		}
	}
	_, err = tx.Exec(ctx, forgetKnown, right)
	return int64(len(outdated)), err
}

const deleteRuns = `-- takeover.deleteRuns
	delete from operation_runs where id = any($1) and origin = 'legacy'`

// forgetRuns removes imported runs with everything that belongs to them, and subtracts
// them from the statistics.
func forgetRuns(ctx context.Context, tx pgx.Tx, ids []int64) error {
	batch := &pgx.Batch{}
	batch.Queue(lockFold, statistics.FoldLock)
	batch.Queue(subtractStatistics, ids)
	batch.Queue(deleteRuns, ids)
	return tx.SendBatch(ctx, batch).Close()
}

const readBridges = `-- takeover.readBridges
	select legacy_id, bridge, id from takeover_incoming where link not in ('adopt', 'imported') order by legacy_id`

const insertRuns = `-- takeover.insertRuns
	insert into operation_runs (id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context, started_at, completed_at, created_at, updated_at, attempt, max_attempts, origin, event_count)
	select id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context, started_at, completed_at, created_at, updated_at, 0, 1, 'legacy', 1
	from takeover_incoming
	returning id`

// An event without txid and id is not sent to watchers, and the statistics' fold does not
// count its run: the run ended long ago.
const insertEvents = `-- takeover.insertEvents
	insert into run_event (run_id, sequence, event_time, kind, actor, status, outcome, lease_epoch, attempt, detail, txid, id)
	select id, 1, coalesce(completed_at, created_at), case status when 'completed' then 'completed' else 'created' end,
		$1, status, outcome, 0, 0, '{"imported": true}', null, null
	from takeover_incoming`

// The same labels as run.Start.Labels makes, except for keys that older contexts rename.
const insertLabels = `-- takeover.insertLabels
	insert into run_label (workspace_id, key, value, created_at, run_id)
	select m.workspace_id, k.key, v.value #>> '{}', m.created_at, m.id
	from takeover_incoming m
	join unnest($1::text[], $2::text[], $3::text[]) k (type, key, told) on k.type = m.type
	cross join lateral (select case when m.context ? k.told then m.context -> k.told else m.context -> 'inputs' -> k.told end as value offset 0) v
	where jsonb_typeof(v.value) in ('string', 'number', 'boolean') and octet_length(v.value #>> '{}') <= $4
	order by 1, 2, 3, 4, 5`

// insertIncoming inserts the incoming runs with their events, labels and statistics, and
// returns their number.
func insertIncoming(ctx context.Context, tx pgx.Tx) (int64, error) {
	rows, err := tx.Query(ctx, insertRuns)
	if err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if taken, ok := takenID(err); ok {
		return 0, fmt.Errorf("the id of a run is taken by another: roll adopt back and adopt again, with an --id-offset (%s)", taken)
	}
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	types, keys, told := searchKeys()
	batch := &pgx.Batch{}
	batch.Queue(insertEvents, takeoverName)
	batch.Queue(insertLabels, types, keys, told, run.MaxLabel)
	batch.Queue(lockFold, statistics.FoldLock)
	batch.Queue(addStatistics, ids)
	return int64(len(ids)), tx.SendBatch(ctx, batch).Close()
}

// takenID reports whether a run id is used already, and the detail that PostgreSQL gives.
func takenID(err error) (string, bool) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.ConstraintName == "operation_runs_pkey" {
		return e.Detail, true
	}
	return "", false
}

// searchKeys returns the search keys of every type, and the name of each in an older context.
func searchKeys() (types, keys, told []string) {
	for _, t := range run.DefaultTypes().List() {
		for _, key := range t.SearchKeys {
			types, keys, told = append(types, t.Name), append(keys, key), append(told, cmp.Or(legacy.RenamedKeys[key], key))
		}
	}
	return types, keys, told
}

const analyseRuns = `-- takeover.analyseRuns
	analyze operation_runs, run_event, run_label, run_stat`

// Analyze lets the planner count what was written. Before that it expects few runs, and
// compares each with each.
func Analyze(ctx context.Context, l *ledger.Ledger) error {
	return l.Retried(ctx, func() error {
		_, err := l.Operations.Exec(ctx, analyseRuns)
		return err
	})
}
