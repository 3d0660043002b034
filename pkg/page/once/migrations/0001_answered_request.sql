-- +goose Up

-- What a mutating call returned, so that a repeated call returns the same.
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
