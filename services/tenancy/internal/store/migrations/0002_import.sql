-- +goose Up

-- An imported user is nobody until an owner says which identity they are; a user made here is claimed from the start.
alter table app_user
	alter column home_workspace_id drop not null,
	add column claimed_at timestamptz default now(),
	add column identity_issuer text,
	add column identity_subject text;
update app_user set claimed_at = created_at;
alter table app_user
	add constraint user_identity_once unique (identity_issuer, identity_subject),
	add constraint user_identity_is_whole check ((identity_issuer is null) = (identity_subject is null)),
	add constraint user_identity_is_short check (char_length(identity_issuer) between 1 and 255 and char_length(identity_subject) between 1 and 255),
	add constraint user_made_here_is_claimed check (legacy_id is not null or (claimed_at is not null and home_workspace_id is not null)),
	add constraint user_imported_is_claimed_for_an_identity check (legacy_id is null or (claimed_at is not null) = (identity_issuer is not null));
comment on column app_user.home_workspace_id is 'the workspace that made the user, or claimed the imported one: its owners may add them again after they left';
comment on column app_user.claimed_at is 'since when somebody may act as the user; null for one who was imported and not claimed';

-- Who was imported once and removed here does not come back with the next import.
create table imported_member (
	workspace_id bigint not null,
	user_id bigint not null,
	created_at timestamptz not null default now(),
	constraint imported_member_once primary key (workspace_id, user_id),
	constraint imported_member_is_of_a_workspace foreign key (workspace_id) references workspace (id),
	constraint imported_member_is_a_user foreign key (user_id) references app_user (id)
);

-- Nor does a tenant that was deleted here; its runs keep its id.
create table deleted_tenant (
	legacy_id bigint not null,
	workspace_id bigint not null,
	tenant_id bigint not null,
	deleted_at timestamptz not null default now(),
	constraint deleted_tenant_taken_over_once primary key (legacy_id),
	constraint deleted_tenant_was_of_a_workspace foreign key (workspace_id) references workspace (id)
);

alter table audit_event alter column workspace_id drop not null;
comment on column audit_event.workspace_id is 'null for what is about no workspace yet';

grant select, insert on imported_member, deleted_tenant to tenancy_app;
