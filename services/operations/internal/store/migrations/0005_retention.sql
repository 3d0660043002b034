-- +goose Up

-- Whether a newer run of an identity has completed, which is what lets retention
-- remove an older one. One entry per run, when it ends; the first bytes of the
-- hash tell identities apart well enough and make the index half as large.
create index run_completed_by_identity on operation_runs (substr(run_identity_hash, 1, 8), completed_at)
	where status = 'completed';

-- What retention did, by type. Written by the owner role only.
create table retention_status (
	type text primary key,
	last_pass_at timestamptz not null,
	last_pass_took interval,
	last_removed bigint not null default 0,
	removed bigint not null default 0,
	last_error text not null default '',

	constraint retention_ended_or_says_why check (last_pass_took is not null or last_error <> '')
);
grant select on retention_status to operations_app;
