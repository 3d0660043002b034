package takeover

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
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// copied is what came of copying a span of rows.
type copied struct {
	Rows     int64    // that are runs now, with those that were before
	Inserted int64    // new, or anew because the row had changed
	Removed  int64    // anew, or because there is no such row any more
	Bridges  []bridge // of rows whose bridge does not name their run yet
}

// takeoverName is the actor of what the tool writes.
const takeoverName = "takeover"

// copyRuns makes the runs of a span of source what its rows say now: it inserts those
// that are missing, replaces those whose row has changed, and removes those whose row
// is gone or has another run. So any number of passes, whole or cut short, ends in
// the same state. It is one transaction of the operations database; rows come straight
// from one database into the other, and few of them are in memory.
func (t *Tool) copyRuns(ctx context.Context, source string, after, until int64) (copied, error) {
	var c copied
	err := t.retried(ctx, func() error {
		b, err := t.sourceBlock(ctx, source)
		if err == nil {
			c, err = t.copySpan(ctx, b, span{after, until})
		}
		return err
	})
	if err != nil {
		return c, fmt.Errorf("copy rows %d to %d of %s: %w", after+1, until, source, err)
	}
	return c, nil
}

func (t *Tool) copySpan(ctx context.Context, b block, s span) (c copied, err error) {
	out, err := t.legacy.Acquire(ctx)
	if err != nil {
		return c, err
	}
	defer out.Release()
	err = pgx.BeginFunc(ctx, t.target, func(tx pgx.Tx) error {
		for _, prepare := range []string{planSpan, makeIncoming} {
			if _, err := tx.Exec(ctx, prepare); err != nil {
				return err
			}
		}
		if c.Rows, err = pipe(ctx, out, tx, b.Source, s); err != nil {
			return err
		}
		if c.Bridges, err = collect[bridge](ctx, tx, readBridges); err != nil {
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

// The planner cannot know how few runs a span has, among how many there will be by
// the time it uses a plan again.
const planSpan = `-- takeover.planSpan
	select set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '64MB', true)`

const makeIncoming = `-- takeover.makeIncoming
	create temporary table if not exists takeover_incoming (
		id bigint not null, legacy_id bigint not null, link text not null, bridge bigint, workspace_id bigint not null, tenant_id bigint, user_id bigint,
		initiator_name text not null, type text not null, status text not null, outcome text not null, run_identity_hash bytea not null,
		summary_counts jsonb not null, failure_summary jsonb not null, context jsonb not null,
		started_at timestamptz, completed_at timestamptz, created_at timestamptz not null, updated_at timestamptz not null
	) on commit delete rows`

// A copy takes no parameters: the session holds them.
const setSpan = `-- takeover.setSpan
	select set_config('takeover.after', $1::bigint::text, false), set_config('takeover.until', $2::bigint::text, false)`

// Rows of a tenant that adopt could not take over have no workspace, and stay.
const copyOut = `copy (
	select run_id, legacy_id, link, bridge, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context, started_at, completed_at, created_at, updated_at
	from tenantpilot_takeover.mapped_{source}
	where legacy_id > current_setting('takeover.after')::bigint and legacy_id <= current_setting('takeover.until')::bigint
		and link in ('adopt', 'imported', 'unlinked', 'dangling', 'duplicate', 'mismatched') and workspace_id is not null
) to stdout (format binary)`

const copyIn = `copy takeover_incoming from stdin (format binary)`

// pipeBuffer lets rows cross in large pieces: one at a time, each would wait for the other side.
const pipeBuffer = 256 << 10

// pipe copies a span of what the rows of source become into the incoming table, and
// answers how many they are.
func pipe(ctx context.Context, from *pgxpool.Conn, to pgx.Tx, source string, s span) (rows int64, err error) {
	if _, err := from.Exec(ctx, setSpan, s.after, s.until); err != nil {
		return 0, err
	}
	r, w := io.Pipe()
	out := make(chan error, 1)
	go func() {
		buffered := bufio.NewWriterSize(w, pipeBuffer)
		_, err := from.Conn().PgConn().CopyTo(ctx, buffered, in(source, copyOut))
		if err == nil {
			err = buffered.Flush()
		}
		_ = w.CloseWithError(err) // with none: the end
		out <- err
	}()
	tag, err := to.Conn().PgConn().CopyFrom(ctx, r, copyIn)
	_ = r.CloseWithError(err)
	return tag.RowsAffected(), errors.Join(<-out, err) // the first is the cause, or has it from the second
}

// A span that was never copied has no runs, which is cheap to see.
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

// settleKnown removes the runs of a span that are not what the incoming rows say,
// and forgets the rows whose runs are: what is left is to be inserted.
func settleKnown(ctx context.Context, tx pgx.Tx, b block, s span) (removed int64, err error) {
	runs, err := collect[known](ctx, tx, readKnown, b.Base+s.after, b.Base+s.until, b.Source)
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

// forgetRuns removes runs that the takeover made, with all that belongs to them and
// their share of the statistics.
func forgetRuns(ctx context.Context, tx pgx.Tx, ids []int64) error {
	batch := &pgx.Batch{}
	batch.Queue(lockFold, store.FoldLock)
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

// Without a transaction and a number of its own, an event is not seen by those who
// watch, and its run not counted by the fold: nothing happens now.
const insertEvents = `-- takeover.insertEvents
	insert into run_event (run_id, sequence, event_time, kind, actor, status, outcome, lease_epoch, attempt, detail, txid, id)
	select id, 1, coalesce(completed_at, created_at), case status when 'completed' then 'completed' else 'created' end,
		$1, status, outcome, 0, 0, '{"imported": true}', null, null
	from takeover_incoming`

// As run.Start.Labels does it, but for keys that older contexts name otherwise.
const insertLabels = `-- takeover.insertLabels
	insert into run_label (workspace_id, key, value, created_at, run_id)
	select m.workspace_id, k.key, v.value #>> '{}', m.created_at, m.id
	from takeover_incoming m
	join unnest($1::text[], $2::text[], $3::text[]) k (type, key, told) on k.type = m.type
	cross join lateral (select case when m.context ? k.told then m.context -> k.told else m.context -> 'inputs' -> k.told end as value offset 0) v
	where jsonb_typeof(v.value) in ('string', 'number', 'boolean') and octet_length(v.value #>> '{}') <= $4
	order by 1, 2, 3, 4, 5`

// insertIncoming adds the incoming runs, with their events, labels and statistics.
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
	batch.Queue(lockFold, store.FoldLock)
	batch.Queue(addStatistics, ids)
	return int64(len(ids)), tx.SendBatch(ctx, batch).Close()
}

// takenID answers what is known of a run id that somebody else has.
func takenID(err error) (string, bool) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.ConstraintName == "operation_runs_pkey" {
		return e.Detail, true
	}
	return "", false
}

// renamedKeys are search keys that older contexts tell under another name: what they
// call baseline_run_id and current_run_id are rows of inventory_sync_runs.
var renamedKeys = map[string]string{"baseline_run_id": "baseline_operation_run_id", "current_run_id": "current_operation_run_id"}

// searchKeys answers what runs of each type are searched by, and where their context tells it.
func searchKeys() (types, keys, told []string) {
	for _, t := range run.DefaultTypes().List() {
		for _, key := range t.SearchKeys {
			types, keys, told = append(types, t.Name), append(keys, key), append(told, cmp.Or(renamedKeys[key], key))
		}
	}
	return types, keys, told
}

const analyseRuns = `-- takeover.analyseRuns
	analyze operation_runs, run_event, run_label, run_stat`

// recounted tells the planner of what was written: until it knows, it takes the runs
// for few, and compares each with each.
func (t *Tool) recounted(ctx context.Context) error {
	return t.retried(ctx, func() error {
		_, err := t.target.Exec(ctx, analyseRuns)
		return err
	})
}
