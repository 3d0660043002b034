-- +goose Up

-- Statistics are sums that a loop folds ended runs into, so that the calls that
-- end them write nothing more than they did: the transaction number of a run's
-- event (0002) and a snapshot say exactly which runs the sums hold, whatever the
-- clocks say and in whatever order transactions commit.

-- What an ended run adds, by the transaction that ended it. Durations are buckets
-- that grow by a fifth from one microsecond: bucket b holds what took more than
-- 1.2^(b-1) and no more than 1.2^b microseconds.
create view run_measure as
	select e.txid, r.workspace_id, r.type, r.completed_at, m.measure, m.key
	from run_event e join operation_runs r on r.id = e.run_id cross join lateral (
		select 'outcome' as measure, r.outcome as key
		union all
		select 'duration', ceil(ln(greatest(extract(epoch from r.completed_at - r.started_at)::float8 * 1e6, 1)) / ln(1.2::float8))::int::text
		where r.started_at is not null
		union all
		select 'reason', f.reason from (
			select distinct left(j.value->>'reason_code', 64) as reason from jsonb_array_elements(r.failure_summary) j) f
		where r.failure_summary <> '[]' and f.reason <> ''
	) m
	where e.kind = 'completed';

-- The sums, by full hours and by full days in UTC.
create table run_stat (
	workspace_id bigint not null,
	grain text not null,
	measure text not null,
	start_at timestamptz not null,
	type text not null,
	key text not null,
	runs bigint not null,

	primary key (workspace_id, grain, measure, start_at, type, key),
	constraint stat_grain_is_known check (grain in ('hour', 'day')),
	constraint stat_measure_is_known check (measure in ('outcome', 'duration', 'reason')),
	constraint stat_counts_something check (runs > 0)
) with (fillfactor = 70);

-- Which runs the sums hold: those whose end is visible in this snapshot.
create table run_stat_fold (
	single boolean primary key default true,
	seen pg_snapshot not null,
	folded_at timestamptz not null,

	constraint fold_is_one_row check (single)
);

-- Runs that ended before events had a transaction number are in from the start.
insert into run_stat (workspace_id, grain, measure, start_at, type, key, runs)
	select m.workspace_id, g.grain, m.measure, date_trunc(g.grain, m.completed_at, 'UTC'), m.type, m.key, count(*)
	from run_measure m, (values ('hour'), ('day')) g (grain)
	where m.txid is null
	group by 1, 2, 3, 4, 5, 6;
insert into run_stat_fold (seen, folded_at) values ('1:1:', '-infinity');

grant select, insert, update on run_stat to operations_app;
grant select, update on run_stat_fold to operations_app;
grant select on run_measure to operations_app;
