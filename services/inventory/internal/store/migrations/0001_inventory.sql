-- +goose Up

-- One read of one policy type of one tenant by one run. Its id orders reads:
-- they follow each other, so an item last seen by a smaller id was last seen
-- before a read with a greater one began. No clock is trusted for that.
create table coverage (
    id bigint generated always as identity primary key,
    workspace_id bigint not null,
    tenant_id bigint not null,
    operation_run_id bigint not null,
    lease_epoch bigint not null,
    start_time timestamptz not null default now(),
    end_time timestamptz,
    listed_count bigint not null default 0,
    read_count bigint not null default 0,
    failed_count bigint not null default 0,
    created_count bigint not null default 0,
    updated_count bigint not null default 0,
    unchanged_count bigint not null default 0,
    removed_count bigint not null default 0,
    complete boolean not null default false,
    type text collate "C" not null,
    reason_code text not null default '',
    message text not null default '',
    constraint coverage_complete_only_when_ended check (not complete or end_time is not null),
    constraint coverage_reason_iff_incomplete check (end_time is null or complete = (reason_code = '')),
    constraint coverage_complete_without_failures check (not complete or failed_count = 0),
    constraint coverage_removes_only_when_complete check (removed_count = 0 or complete),
    constraint coverage_counts_not_negative check (least(listed_count, read_count, failed_count,
        created_count, updated_count, unchanged_count, removed_count) >= 0)
);
-- At most one open read per tenant and type: who opens the next closes the one
-- a lost worker left, and that worker can write no more.
create unique index coverage_one_open_read on coverage (tenant_id, type) where end_time is null;
create index coverage_latest on coverage (workspace_id, tenant_id, type, id desc);
create index coverage_of_run on coverage (operation_run_id, type, id desc);

-- The columns every sync changes are of fixed width and in no index, and pages
-- keep room: an unchanged item costs one small update within its page.
create table item (
    id bigint generated always as identity primary key,
    workspace_id bigint not null,
    tenant_id bigint not null,
    last_seen_read_id bigint not null,
    last_seen_operation_run_id bigint not null,
    last_seen_time timestamptz not null,
    first_seen_time timestamptz not null,
    version_operation_run_id bigint not null,
    removed_time timestamptz,
    version integer not null,
    type text collate "C" not null,
    external_id text collate "C" not null,
    display_name text not null,
    odata_type text not null,
    canonical_hash bytea not null,
    constraint item_identity unique (workspace_id, tenant_id, type, external_id),
    constraint item_version_from_one check (version >= 1),
    constraint item_hash_is_sha256 check (octet_length(canonical_hash) = 32)
) with (fillfactor = 45);
create index item_present on item (workspace_id, tenant_id, type, external_id) where removed_time is null;

create table item_version (
    item_id bigint not null references item,
    version integer not null,
    normaliser_version integer not null,
    operation_run_id bigint not null,
    create_time timestamptz not null default now(),
    display_name text not null,
    canonical_hash bytea not null,
    payload bytea not null,
    primary key (item_id, version),
    constraint item_version_from_one check (version >= 1),
    constraint item_version_hash_is_sha256 check (octet_length(canonical_hash) = 32)
);

create table version_element (
    item_id bigint not null,
    version integer not null,
    ordinal integer not null,
    collection text not null,
    parent_id text not null,
    payload bytea not null,
    primary key (item_id, version, collection, parent_id, ordinal),
    foreign key (item_id, version) references item_version,
    constraint version_element_from_zero check (ordinal >= 0)
);

create table sync_schedule (
    id bigint generated always as identity primary key,
    workspace_id bigint not null,
    tenant_id bigint not null,
    display_name text not null,
    types text[] not null,
    cron text not null,
    time_zone text not null,
    paused boolean not null,
    next_slot_time timestamptz,
    last_slot_time timestamptz,
    last_operation_run_id bigint,
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now(),
    -- What made it, so that saying it again makes no second one.
    caller text not null,
    request_id text,
    request_digest bytea,
    constraint sync_schedule_next_slot_unless_paused check ((next_slot_time is null) = paused),
    constraint sync_schedule_request unique (workspace_id, caller, request_id)
);
create index sync_schedule_of_tenant on sync_schedule (workspace_id, tenant_id, id);
create index sync_schedule_due on sync_schedule (next_slot_time) where next_slot_time is not null;

-- A slot is taken by writing it here, once, whoever and however many look.
create table schedule_slot (
    sync_schedule_id bigint not null references sync_schedule on delete cascade,
    slot_time timestamptz not null,
    operation_run_id bigint,
    create_time timestamptz not null default now(),
    constraint schedule_slot_once primary key (sync_schedule_id, slot_time)
);
create index schedule_slot_without_run on schedule_slot (create_time) where operation_run_id is null;

-- Versions are never changed: the app role can only add and read them.
grant select, insert on item_version, version_element to inventory_app;
grant select, insert, update on coverage, item to inventory_app;
grant select, insert, update, delete on sync_schedule, schedule_slot to inventory_app;
