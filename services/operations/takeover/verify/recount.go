package verify

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// references checks that every reference names an existing run, and notes the missing runs.
func (v *verifying) references(ctx context.Context) error {
	missing, err := ledger.NoteMissing(ctx, v.rows, v.runs)
	if err != nil {
		return err
	}
	v.r.Find(report.Finding{
		Code: "missing_run", Message: "runs that rows refer to and that do not exist: repoint leaves such references null",
		Count: int64(len(missing)), Samples: report.Some(missing),
	})
	for _, ref := range legacy.References {
		if err := v.reference(ctx, ref, missing); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
	}
	return nil
}

const countLost = `-- takeover.countLost
	select count(*) from {table} t, tenantpilot_takeover.run_block b
	where b.source = 'operation_runs'
		and case when t.{new} between 1 and b.last_legacy_id then b.base + t.{new} else t.{new} end = any($1)`

// It counts the references that repoint has left null though the row that the old column
// named has a run.
const countAstray = `-- takeover.countAstray
	select count(*) from {table} t
	join tenantpilot_takeover.saved_reference s on s.table_name = '{table}' and s.column_name = '{old}' and s.id = t.id
	join inventory_sync_runs r on r.id = s.value
	where t.{new} is null and r.operation_run_id is not null and r.operation_run_id <> all($1)`

// reference checks a column that repoint has filled.
func (v *verifying) reference(ctx context.Context, ref legacy.Reference, missing []int64) error {
	there, err := legacy.ColumnsOf(ctx, v.rows, ref)
	if err != nil || there.Old || !there.New {
		return err
	}
	var lost, astray int64
	if err := v.rows.QueryRow(ctx, ref.In(countLost), missing).Scan(&lost); err != nil {
		return err
	}
	if err := v.rows.QueryRow(ctx, ref.In(countAstray), missing).Scan(&astray); err != nil {
		return err
	}
	name := ref.Table + "." + ref.New
	v.r.Check("every "+name+" is a run that exists", lost == 0, "%d are not", lost)
	v.r.Check("no "+name+" was left out", astray == 0, "%d are null though their row has a run: run repoint again", astray)
	return nil
}

const oddRuns = `-- takeover.oddRuns
	select r.id from operation_runs r join takeover_block b on r.id > b.base and r.id <= b.base + b.last_legacy_id
	where r.origin = 'legacy' and (
		(r.event_count, r.attempt, r.max_attempts, r.lease_epoch, r.retry_number, r.traceparent) is distinct from (1, 0, 1, 0, 0, '')
		or num_nonnulls(r.queued_at, r.released_epoch, r.cancel_requested_at, r.cancel_requested_by, r.cancel_reason,
			r.retry_of, r.parent_run_id, r.completion_digest) > 0
		or not exists (select from run_event e where e.run_id = r.id and e.sequence = 1
			and e.kind = case r.status when 'completed' then 'completed' else 'created' end
			and e.event_time = coalesce(r.completed_at, r.created_at) and e.actor = 'takeover' and e.detail = '{"imported": true}'
			and (e.status, e.outcome, e.lease_epoch, e.attempt) = (r.status, r.outcome, 0, 0) and num_nonnulls(e.txid, e.id) = 0)
		or exists (select from run_event e where e.run_id = r.id and e.sequence <> 1)
		or exists (select from run_lease l where l.run_id = r.id))
	order by 1`

const straysOfBlocks = `-- takeover.straysOfBlocks
	select r.id from operation_runs r
	where r.origin = 'legacy' and not exists (
		select from takeover_block b where r.id > b.base and r.id <= b.base + b.last_legacy_id
			and b.source = r.context #>> '{legacy,source}')
	order by 1`

// events checks that each imported run has its one event, and nothing that only live runs
// have.
func (v *verifying) events(ctx context.Context) error {
	for _, odd := range []struct{ name, sql string }{
		{"every run has one event, and nothing of a live run", oddRuns},
		{"every imported run is where its row belongs", straysOfBlocks},
	} {
		rows, err := v.runs.Query(ctx, odd.sql)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		v.r.Check(odd.name, len(ids) == 0, "%d others: %s", len(ids), report.List(report.Some(ids)))
	}
	return nil
}

// It recounts the runs that the statistics contain: folded live runs, and imported ones.
// Retention removes runs and leaves their sums, so after it sums may be higher than a count.
const recountStatistics = `-- takeover.recountStatistics
	with m as materialized (
		select m.workspace_id, date_trunc('hour', m.completed_at, 'UTC') as hour, m.measure, m.type, m.key, count(*) as runs
		from run_measure m, run_stat_fold f
		where m.workspace_id = any($1) and (m.txid is null or pg_visible_in_snapshot(m.txid, f.seen))
		group by 1, 2, 3, 4, 5
	), s as (
		select workspace_id, 'hour' as grain, hour as start_at, measure, type, key, runs from m
		union all
		select workspace_id, 'day', date_trunc('day', hour, 'UTC'), measure, type, key, sum(runs) from m group by 1, 2, 3, 4, 5, 6
	)
	select count(*), count(*) filter (where d.wrong), coalesce(min(d.what) filter (where d.wrong), '')
	from (
		select format('%s of workspace %s from %s: %s %s %s is %s, counted %s', grain, workspace_id, start_at, type, measure, key,
				coalesce(t.runs, 0), coalesce(s.runs, 0)) as what,
			coalesce(t.runs, 0) < coalesce(s.runs, 0)
				or coalesce(t.runs, 0) > coalesce(s.runs, 0) and not exists (
				select from retention_status r where r.type = coalesce(s.type, t.type) and r.removed > 0) as wrong
		from s full join (select * from run_stat where workspace_id = any($1)) t using (workspace_id, grain, start_at, measure, type, key)
	) d`

// statistics compares the statistics with a count of all runs.
func (v *verifying) statistics(ctx context.Context) error {
	workspaces, err := ledger.Workspaces(ctx, v.rows)
	if err != nil {
		return err
	}
	var all, wrong int64
	var first string
	if err := v.runs.QueryRow(ctx, recountStatistics, workspaces).Scan(&all, &wrong, &first); err != nil {
		return err
	}
	v.r.Check("the statistics are what a count gives", wrong == 0, "%d of %d sums are wrong. %s", wrong, all, first)
	return nil
}
