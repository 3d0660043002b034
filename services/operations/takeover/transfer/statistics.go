package transfer

// measured counts the completed runs among $1 as the view run_measure does, by hour and
// by day.
const measured = `
	with h as materialized (
		select r.workspace_id, m.measure, date_trunc('hour', r.completed_at, 'UTC') as start_at, r.type, m.key, count(*) as runs
		from operation_runs r cross join lateral (
			select 'outcome' as measure, r.outcome as key
			union all
			select 'duration', ceil(ln(greatest(extract(epoch from r.completed_at - r.started_at)::float8 * 1000000, 1)) / ln(1.2::float8))::int::text
			where r.started_at is not null
			union all
			select 'reason', f.reason
			from (select distinct left(j ->> 'reason_code', 64) as reason from jsonb_array_elements(r.failure_summary) j) f
			where r.failure_summary <> '[]' and f.reason <> ''
		) m
		where r.id = any($1) and r.status = 'completed'
		group by 1, 2, 3, 4, 5
	), s as materialized (
		select workspace_id, 'hour' as grain, measure, start_at, type, key, runs from h
		union all
		select workspace_id, 'day', measure, date_trunc('day', start_at, 'UTC'), type, key, sum(runs)::bigint from h group by 1, 3, 4, 5, 6
	)`

const lockFold = `-- takeover.lockFold
	select pg_advisory_xact_lock($1)`

const addStatistics = `-- takeover.addStatistics` + measured + `
	insert into run_stat (workspace_id, grain, measure, start_at, type, key, runs)
	select workspace_id, grain, measure, start_at, type, key, runs from s order by 1, 2, 3, 4, 5, 6
	on conflict (workspace_id, grain, measure, start_at, type, key) do update set runs = run_stat.runs + excluded.runs`

// A sum that becomes 0 is deleted.
const subtractStatistics = `-- takeover.subtractStatistics` + measured + `, gone as (
		delete from run_stat t using s
		where t.workspace_id = s.workspace_id and t.grain = s.grain and t.measure = s.measure and t.start_at = s.start_at
			and t.type = s.type and t.key = s.key and t.runs <= s.runs
	)
	update run_stat t set runs = t.runs - s.runs from s
	where t.workspace_id = s.workspace_id and t.grain = s.grain and t.measure = s.measure and t.start_at = s.start_at
		and t.type = s.type and t.key = s.key and t.runs > s.runs`
