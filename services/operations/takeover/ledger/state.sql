-- The ledger of a takeover. It is kept in the legacy database, so that statements over its
-- tables can join it. The tool runs this file at every start.
create schema if not exists tenantpilot_takeover;

-- The id of the takeover, and its decisions. The operations database holds the same id, so
-- that neither database can be used for another takeover.
create table if not exists tenantpilot_takeover.takeover (
	single boolean primary key default true check (single),
	id uuid not null default gen_random_uuid(),
	timezone text not null default 'UTC', -- the zone of timestamps that have none
	history text check (history in ('import', 'link')), -- null before backfill
	stale_before timestamptz not null default '-infinity', -- active rows last touched before this are given up
	cut_over_at timestamptz, -- when the cut-over ended the last active run; null before
	created_at timestamptz not null default now()
);
insert into tenantpilot_takeover.takeover default values on conflict do nothing;

-- When each stage last began, and when it passed after that; ended_at is null until it passes.
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
	workspace_id bigint not null -- the new workspace
);
create table if not exists tenantpilot_takeover.user_map (
	legacy_id bigint primary key,
	user_id bigint not null
);

-- Every type of the legacy canonical runs; canonical is null for runs that stay behind.
create table if not exists tenantpilot_takeover.type_map (
	legacy_type text primary key,
	canonical text,
	trigger text -- becomes context.trigger
);

-- Row N of a source becomes run base + N, for N up to last_legacy_id. A copy of takeover_block
-- in the operations database, where the ids are reserved.
create table if not exists tenantpilot_takeover.run_block (
	source text primary key,
	last_legacy_id bigint not null,
	base bigint not null
);

-- The last row that an interrupted pass of a stage is done with; deleted when the pass ends.
create table if not exists tenantpilot_takeover.progress (
	stage text not null,
	source text not null,
	last_id bigint not null,
	primary key (stage, source)
);

-- The value of a bridge column before backfill changed it, for rollback.
create table if not exists tenantpilot_takeover.saved_bridge (
	source text not null,
	id bigint not null,
	operation_run_id bigint, -- null if it was null
	primary key (source, id)
);

-- What a stage dropped: constraints, indexes, columns and comments, for rollback.
create table if not exists tenantpilot_takeover.dropped (
	stage text not null,
	place bigint generated always as identity, -- rollback begins with the highest
	table_name text not null,
	name text not null,
	definition text not null, -- a statement that makes it again
	primary key (stage, table_name, name)
);

-- A row for every statement that wrote to a watched table since verify took its snapshot.
-- Rows are only inserted, so that legacy writers never wait for each other.
create table if not exists tenantpilot_takeover.write_seen (
	source text not null,
	at timestamptz not null default clock_timestamp()
);

-- Runs that rows refer to and that the operations database does not have.
create table if not exists tenantpilot_takeover.missing_run (
	run_id bigint primary key
);

-- The value of a column before repoint dropped or changed it, for rollback.
create table if not exists tenantpilot_takeover.saved_reference (
	table_name text not null,
	column_name text not null,
	id bigint not null, -- the id of the row
	value bigint, -- null if it was null
	primary key (table_name, column_name, id)
);

-- Columns that repoint added, and rollback drops again.
create table if not exists tenantpilot_takeover.added_column (
	table_name text not null,
	column_name text not null,
	primary key (table_name, column_name)
);
