-- What the takeover knows, kept in the legacy database beside what it is about, so
-- that set-based statements can use it. Rerun at every start of the tool.
create schema if not exists tenantpilot_takeover;

-- Which takeover this is, and what was decided for good. The id is also written into
-- the operations database: neither can be taken for another's.
create table if not exists tenantpilot_takeover.takeover (
	single boolean primary key default true check (single),
	id uuid not null default gen_random_uuid(),
	timezone text not null default 'UTC', -- of the timestamps that have none
	history text check (history in ('import', 'link')), -- null until backfill was told
	stale_before timestamptz not null default '-infinity', -- active rows last touched before it are given up
	cut_over_at timestamptz, -- no active run was left behind at that time
	created_at timestamptz not null default now()
);
insert into tenantpilot_takeover.takeover default values on conflict do nothing;

-- The last end of each stage; a stage that began again is not done.
create table if not exists tenantpilot_takeover.stage (
	name text primary key,
	began_at timestamptz not null,
	ended_at timestamptz,
	report jsonb
);

create table if not exists tenantpilot_takeover.workspace_map (
	legacy_id bigint primary key,
	workspace_id bigint not null
);
create table if not exists tenantpilot_takeover.tenant_map (
	legacy_id bigint primary key,
	tenant_id bigint not null,
	workspace_id bigint not null -- the new one
);
create table if not exists tenantpilot_takeover.user_map (
	legacy_id bigint primary key,
	user_id bigint not null
);

-- Every type that legacy canonical runs have; canonical null: archived only.
create table if not exists tenantpilot_takeover.type_map (
	legacy_type text primary key,
	canonical text,
	trigger text -- becomes context.trigger
);

-- The run of row N of a source has the id base + N, for N up to last_legacy_id: a copy of
-- takeover_block in the operations database, where the ids were set aside.
create table if not exists tenantpilot_takeover.run_block (
	source text primary key,
	last_legacy_id bigint not null,
	base bigint not null
);

-- How far an interrupted pass of a stage came in a table; gone when the pass ends.
create table if not exists tenantpilot_takeover.progress (
	stage text not null,
	source text not null,
	last_id bigint not null,
	primary key (stage, source)
);

-- What was in a bridge column before backfill wrote another value there, for rollback.
create table if not exists tenantpilot_takeover.saved_bridge (
	source text not null,
	id bigint not null,
	operation_run_id bigint, -- null: it was null
	primary key (source, id)
);

-- Constraints and indexes that were dropped, in the words of pg_get_constraintdef and
-- pg_get_indexdef, for rollback. A stage rolls back what it dropped.
create table if not exists tenantpilot_takeover.dropped (
	stage text not null,
	place bigint generated always as identity, -- rolled back from the last to the first
	table_name text not null,
	name text not null,
	definition text not null, -- a whole statement that brings it back
	primary key (stage, table_name, name)
);

-- A line for every statement that wrote to a watched table since verify looked; see
-- verify. Nothing is updated here, so that legacy writers never wait for each other.
create table if not exists tenantpilot_takeover.write_seen (
	source text not null,
	at timestamptz not null default clock_timestamp()
);

-- Runs that rows refer to and the operations database does not have; see verify.
create table if not exists tenantpilot_takeover.missing_run (
	run_id bigint primary key
);

-- What was in a column that repoint dropped or changed, for rollback; see repoint.
create table if not exists tenantpilot_takeover.saved_reference (
	table_name text not null,
	column_name text not null,
	id bigint not null, -- of the row
	value bigint, -- null: it was null
	primary key (table_name, column_name, id)
);

-- Columns that repoint added, and rollback takes away again.
create table if not exists tenantpilot_takeover.added_column (
	table_name text not null,
	column_name text not null,
	primary key (table_name, column_name)
);
