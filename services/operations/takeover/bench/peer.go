package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// sources are the legacy tables, with the states in which a row is not a run yet.
var sources = []source{
	{"inventory_sync_runs", nil}, {"entra_group_sync_runs", nil}, {"backup_schedule_runs", nil},
	{"restore_runs", []string{"draft", "scoped", "checked", "previewed", "pending"}},
}

type source struct {
	table  string
	wizard []string
}

// in puts the name of s, which is one of a few constants, into a statement.
func (s source) in(sql string) string { return strings.ReplaceAll(sql, "{source}", s.table) }

// The peer writes the same runs and bridges as the tool, each table in one transaction. It
// keeps nothing to resume or to roll back.

// The same as backfill decides.
const decide = `-- bench.decide
	update tenantpilot_takeover.takeover set history = 'import', stale_before = now() - interval '24 hours'`

const dropKey = `-- bench.dropKey
	alter table {source} drop constraint {source}_operation_run_id_foreign`

const mapped = `
	select run_id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
		summary_counts, failure_summary, context, started_at, completed_at, created_at, updated_at, 0, 1, 'legacy', 1
	from tenantpilot_takeover.mapped_{source}
	where link in ('imported', 'unlinked', 'dangling', 'duplicate', 'mismatched') and workspace_id is not null`

const runColumns = `{runs}.operation_runs (id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
	summary_counts, failure_summary, context, started_at, completed_at, created_at, updated_at, attempt, max_attempts, origin, event_count)`

const insertRuns = `-- bench.insertRuns
	insert into ` + runColumns + mapped

const copyOut = `copy (` + mapped + `) to stdout (format binary)`

const copyIn = `copy ` + runColumns + ` from stdin (format binary)`

const insertEvents = `-- bench.insertEvents
	insert into {runs}.run_event (run_id, sequence, event_time, kind, actor, status, outcome, lease_epoch, attempt, detail, txid, id)
	select id, 1, coalesce(completed_at, created_at), case status when 'completed' then 'completed' else 'created' end,
		'takeover', status, outcome, 0, 0, '{"imported": true}', null, null
	from {runs}.operation_runs where id > $1 and id <= $2`

const insertLabels = `-- bench.insertLabels
	insert into {runs}.run_label (workspace_id, key, value, created_at, run_id)
	select r.workspace_id, k.key, v.value #>> '{}', r.created_at, r.id
	from {runs}.operation_runs r
	join unnest($3::text[], $4::text[]) k (type, key) on k.type = r.type
	cross join lateral (select case when r.context ? k.key then r.context -> k.key else r.context -> 'inputs' -> k.key end as value offset 0) v
	where r.id > $1 and r.id <= $2 and jsonb_typeof(v.value) in ('string', 'number', 'boolean') and octet_length(v.value #>> '{}') <= $5`

// The same as the view run_measure counts.
const insertStatistics = `-- bench.insertStatistics
	with h as materialized (
		select r.workspace_id, m.measure, date_trunc('hour', r.completed_at, 'UTC') as start_at, r.type, m.key, count(*) as runs
		from {runs}.operation_runs r cross join lateral (
			select 'outcome' as measure, r.outcome as key
			union all
			select 'duration', ceil(ln(greatest(extract(epoch from r.completed_at - r.started_at)::float8 * 1000000, 1)) / ln(1.2::float8))::int::text
			where r.started_at is not null
			union all
			select 'reason', f.reason
			from (select distinct left(j ->> 'reason_code', 64) as reason from jsonb_array_elements(r.failure_summary) j) f
			where r.failure_summary <> '[]' and f.reason <> ''
		) m
		where r.id > $1 and r.id <= $2 and r.status = 'completed'
		group by 1, 2, 3, 4, 5
	)
	insert into {runs}.run_stat (workspace_id, grain, measure, start_at, type, key, runs)
	select workspace_id, 'hour', measure, start_at, type, key, runs from h
	union all
	select workspace_id, 'day', measure, date_trunc('day', start_at, 'UTC'), type, key, sum(runs)::bigint from h group by 1, 3, 4, 5, 6
	on conflict (workspace_id, grain, measure, start_at, type, key) do update set runs = {runs}.run_stat.runs + excluded.runs`

const updateBridges = `-- bench.updateBridges
	update {source} set operation_run_id = $1 + id where operation_run_id is null and status <> all ($2)`

// peer takes rows over without the tool.
type peer struct {
	source
	legacy, runs *pgx.Conn // the same connection, if there is one server
	to           destination
	base, last   int64
	took         map[string]time.Duration
}

const readBlock = `-- bench.readBlock
	select base, base + last_legacy_id from tenantpilot_takeover.run_block where source = $1`

// do takes over one table: runs, what belongs to them, and bridges.
func (p *peer) do(ctx context.Context) error {
	if err := p.legacy.QueryRow(ctx, readBlock, p.table).Scan(&p.base, &p.last); err != nil {
		return err
	}
	if _, err := p.legacy.Exec(ctx, p.in(dropKey)); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, p.runs, func(pgx.Tx) error {
		if err := p.step("runs", func() error { return p.copyRuns(ctx) }); err != nil {
			return err
		}
		return p.addToRuns(ctx)
	})
	if err != nil {
		return err
	}
	return p.step("bridge", func() error {
		_, err := p.legacy.Exec(ctx, p.in(updateBridges), p.base, append([]string{}, p.wizard...))
		return err
	})
}

func (p *peer) copyRuns(ctx context.Context) error {
	if p.legacy == p.runs {
		_, err := p.runs.Exec(ctx, p.to.in(p.in(insertRuns)))
		return err
	}
	return pipe(ctx, p.legacy, p.runs, p.in(copyOut), p.to.in(copyIn))
}

// addToRuns writes the events, labels and statistics of the runs.
func (p *peer) addToRuns(ctx context.Context) error {
	types, keys := searchKeys()
	for _, s := range []struct {
		name, sql string
		args      []any
	}{
		{"events", insertEvents, []any{p.base, p.last}},
		{"labels", insertLabels, []any{p.base, p.last, types, keys, run.MaxLabel}},
		{"statistics", insertStatistics, []any{p.base, p.last}},
	} {
		err := p.step(s.name, func() error {
			_, err := p.runs.Exec(ctx, p.to.in(s.sql), s.args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// step adds the time of do to that of the steps with the same name.
func (p *peer) step(name string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s of %s: %w", name, p.table, err)
	}
	p.took[name] += time.Since(began)
	return nil
}

func searchKeys() (types, keys []string) {
	for _, t := range run.DefaultTypes().List() {
		for _, key := range t.SearchKeys {
			types, keys = append(types, t.Name), append(keys, key)
		}
	}
	return types, keys
}

// pipe copies rows from one connection to another, with few of them in memory.
func pipe(ctx context.Context, from, to *pgx.Conn, out, in string) error {
	r, w := io.Pipe()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		buffered := bufio.NewWriterSize(w, 256<<10)
		_, err := from.PgConn().CopyTo(ctx, buffered, out)
		if err == nil {
			err = buffered.Flush()
		}
		_ = w.CloseWithError(err) // nil ends the stream
		return err
	})
	group.Go(func() error {
		_, err := to.PgConn().CopyFrom(ctx, r, in)
		_ = r.CloseWithError(err)
		return err
	})
	return group.Wait()
}
