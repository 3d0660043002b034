-- +goose Up

-- The takeover of an older TenantPilot writes into this database; see
-- docs/takeover.md. A live service only ever reads workspace_hold.

-- Which takeover it is; a legacy database holds the same id.
create table takeover (
	single boolean primary key default true,
	takeover_id uuid not null,

	constraint takeover_is_one_row check (single)
);

-- The ids set aside for the runs of legacy rows: row N of a source is run base + N,
-- for N up to last_legacy_id. Deterministic, so that an import can be repeated.
create table takeover_block (
	source text primary key,
	last_legacy_id bigint not null,
	base bigint not null,

	constraint block_ids_are_positive check (base >= 0 and last_legacy_id >= 0)
);

-- Workspaces whose history is being taken over: retention leaves them alone until
-- the takeover ends, and no live run starts before the cut-over has ended what was active.
create table workspace_hold (
	workspace_id bigint primary key,
	starts_allowed boolean not null default false
);
grant select on workspace_hold to operations_app;
