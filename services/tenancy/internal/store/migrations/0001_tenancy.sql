-- +goose Up

create table workspace (
	id bigint generated always as identity,
	display_name text not null,
	legacy_id bigint,
	created_at timestamptz not null default now(),
	updated_at timestamptz not null default now(),
	constraint workspace_has_one_id primary key (id),
	constraint workspace_named_once unique (display_name),
	constraint workspace_taken_over_once unique (legacy_id),
	constraint workspace_has_a_name check (char_length(display_name) between 1 and 200)
);

create table app_user (
	id bigint generated always as identity,
	home_workspace_id bigint not null,
	display_name text not null,
	email text not null default '',
	legacy_id bigint,
	created_at timestamptz not null default now(),
	constraint user_has_one_id primary key (id),
	constraint user_taken_over_once unique (legacy_id),
	constraint user_comes_from_a_workspace foreign key (home_workspace_id) references workspace (id),
	constraint user_has_a_name check (char_length(display_name) between 1 and 200),
	constraint user_email_is_short check (char_length(email) <= 320)
);
comment on column app_user.home_workspace_id is 'the workspace that made the user: its owners may add them again after they left';

create table member (
	workspace_id bigint not null,
	user_id bigint not null,
	role text not null,
	created_at timestamptz not null default now(),
	updated_at timestamptz not null default now(),
	constraint member_once_per_workspace primary key (workspace_id, user_id),
	constraint member_is_of_a_workspace foreign key (workspace_id) references workspace (id),
	constraint member_is_a_user foreign key (user_id) references app_user (id),
	constraint member_role_exists check (role in ('readonly', 'operator', 'manager', 'owner'))
);
create index member_by_user on member (user_id);

create table tenant (
	id bigint generated always as identity,
	workspace_id bigint not null,
	display_name text not null,
	directory_id text not null,
	primary_domain text not null default '',
	national_cloud text not null,
	revision bigint not null default 1,
	legacy_id bigint,
	created_at timestamptz not null default now(),
	updated_at timestamptz not null default now(),
	constraint tenant_has_one_id primary key (id),
	constraint tenant_is_found_by_workspace unique (workspace_id, id),
	constraint tenant_named_once_in_workspace unique (workspace_id, display_name),
	constraint tenant_directory_once_in_workspace unique (workspace_id, directory_id),
	constraint tenant_taken_over_once unique (legacy_id),
	constraint tenant_is_of_a_workspace foreign key (workspace_id) references workspace (id),
	constraint tenant_has_a_name check (char_length(display_name) between 1 and 200),
	constraint tenant_directory_is_a_guid check (directory_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
	constraint tenant_domain_is_short check (char_length(primary_domain) <= 253),
	constraint tenant_cloud_exists check (national_cloud in ('global', 'us_gov', 'us_gov_dod', 'china')),
	constraint tenant_revision_counts check (revision > 0)
);

create table graph_connection (
	workspace_id bigint not null,
	tenant_id bigint not null,
	client_id text not null,
	secret_sealed bytea not null,
	secret_set_at timestamptz not null default now(),
	secret_expires_at timestamptz,
	constraint connection_once_per_tenant primary key (workspace_id, tenant_id),
	constraint connection_dies_with_its_tenant foreign key (workspace_id, tenant_id)
		references tenant (workspace_id, id) on delete cascade,
	constraint connection_has_a_client check (char_length(client_id) between 1 and 128),
	constraint connection_has_a_secret check (octet_length(secret_sealed) > 0)
);
comment on column graph_connection.secret_sealed is 'AES-256-GCM under a master key, bound to this row: the same bytes do not open in another';

create table api_token (
	id bigint generated always as identity,
	workspace_id bigint not null,
	user_id bigint not null,
	display_name text not null,
	key_id text not null,
	secret_hash bytea not null,
	max_role text not null,
	expires_at timestamptz not null,
	revoked_at timestamptz,
	last_used_at timestamptz,
	created_at timestamptz not null default now(),
	constraint token_has_one_id primary key (id),
	constraint token_is_found_by_workspace unique (workspace_id, id),
	constraint token_key_once unique (key_id),
	constraint token_is_of_a_workspace foreign key (workspace_id) references workspace (id),
	constraint token_acts_as_a_user foreign key (user_id) references app_user (id),
	constraint token_has_a_name check (char_length(display_name) between 1 and 200),
	constraint token_hash_is_sha256 check (octet_length(secret_hash) = 32),
	constraint token_role_exists check (max_role in ('readonly', 'operator', 'manager', 'owner')),
	constraint token_expires_within_a_year check (expires_at <= created_at + interval '366 days')
);
create index token_by_user on api_token (workspace_id, user_id, id);

-- What a mutating call answered, so that saying it again answers the same.
create table answered_request (
	workspace_id bigint,
	service text not null,
	request_id text not null,
	digest bytea not null,
	answer jsonb,
	created_at timestamptz not null default now(),
	constraint request_answered_once unique nulls not distinct (workspace_id, service, request_id),
	constraint request_has_an_id check (char_length(request_id) between 1 and 128)
);
comment on column answered_request.workspace_id is 'null for calls that are about no workspace yet';

-- Who changed what. Rows are only ever added.
create table audit_event (
	id bigint generated always as identity,
	workspace_id bigint not null,
	happened_at timestamptz not null default now(),
	service text not null,
	user_id bigint,
	user_name text not null default '',
	action text not null,
	object_kind text not null,
	object_id bigint not null,
	request_id text not null default '',
	detail jsonb not null default '{}',
	constraint event_has_one_id primary key (id)
);
create index event_by_workspace on audit_event (workspace_id, id);

grant select, insert, update on workspace, app_user, api_token, answered_request to tenancy_app;
grant select, insert, update, delete on member, tenant, graph_connection to tenancy_app;
grant select, insert on audit_event to tenancy_app;
-- A tenant's id is drawn before its row is written: its secret is sealed under it.
grant usage on sequence tenant_id_seq to tenancy_app;
