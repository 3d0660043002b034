-- +goose Up

-- What lists are searched by. Every index ends in created_at and id, so that a
-- page is read in order from where the page before it ended, and nothing is
-- sorted. Each move of a run writes all indexes it is in anew: so what every run
-- has is indexed once it has completed, what is rare by a predicate, and a list
-- of all runs is merged of the active and the completed. ADR 0012 weighs each.

-- Few runs are active at a time.
create index run_active on operation_runs (workspace_id, status, created_at desc, id desc) where status <> 'completed';

-- Written once per run, when it completes.
drop index run_by_workspace;
create index run_completed on operation_runs (workspace_id, created_at desc, id desc) where status = 'completed';
create index run_by_completion on operation_runs (workspace_id, completed_at desc, id desc) where status = 'completed';
create index run_by_type on operation_runs (workspace_id, type, created_at desc, id desc) where status = 'completed';
create index run_by_tenant on operation_runs (workspace_id, tenant_id, created_at desc, id desc) where status = 'completed';
create index run_by_initiator on operation_runs (workspace_id, initiator_name, created_at desc, id desc) where status = 'completed';

-- Few runs end badly.
create index run_by_bad_outcome on operation_runs (workspace_id, outcome, created_at desc, id desc)
	where outcome in ('partially_succeeded', 'failed', 'cancelled');
create index run_with_failures on operation_runs (workspace_id, created_at desc, id desc) where failure_summary <> '[]';

-- Most runs are of schedules.
create index run_by_user on operation_runs (workspace_id, user_id, created_at desc, id desc) where user_id is not null;

-- Lineage: also what tells whether a run still has others that name it.
create index run_by_original on operation_runs (retry_of, created_at desc, id desc) where retry_of is not null;
create index run_by_parent on operation_runs (parent_run_id, created_at desc, id desc) where parent_run_id is not null;

-- A trace is of one workspace, and has few runs. Its id is random, so each entry
-- is a page of its own: where everything is traced, the dearest index of all.
create index run_by_trace on operation_runs (substr(traceparent, 4, 32), created_at desc, id desc)
	where status = 'completed' and traceparent <> '';

create index run_by_legacy_id on operation_runs (workspace_id, ((context -> 'legacy') ->> 'id'), created_at desc, id desc)
	where origin = 'legacy';
create index run_by_legacy_source on operation_runs (workspace_id, ((context -> 'legacy') ->> 'source'), created_at desc, id desc)
	where origin = 'legacy';

-- Labels are found in the order of their runs. The default serves only the
-- binary before this schema, which does not say it.
alter table run_label add column created_at timestamptz not null default now();
update run_label b set created_at = r.created_at from operation_runs r where r.id = b.run_id;
alter table run_label drop constraint run_label_pkey;
alter table run_label add primary key (workspace_id, key, value, created_at, run_id);

-- A run has as many reason codes as its failures have, so each is a label of its
-- own. No context key has a dot in it.
-- +goose StatementBegin
create function run_labels_its_reasons() returns trigger language plpgsql as $$
begin
	insert into run_label (workspace_id, key, value, created_at, run_id)
	select distinct new.workspace_id, 'run.reason_code', f ->> 'reason_code', new.created_at, new.id
	from jsonb_array_elements(new.failure_summary) f
	where octet_length(f ->> 'reason_code') <= 256 -- what is longer is no code, and too much for an index
	on conflict do nothing;
	return null;
end $$;
-- +goose StatementEnd
create trigger run_labels_its_reasons after insert or update of failure_summary on operation_runs
	for each row when (new.failure_summary <> '[]') execute function run_labels_its_reasons();

insert into run_label (workspace_id, key, value, created_at, run_id)
select distinct r.workspace_id, 'run.reason_code', f ->> 'reason_code', r.created_at, r.id
from operation_runs r, jsonb_array_elements(r.failure_summary) f
where r.failure_summary <> '[]' and octet_length(f ->> 'reason_code') <= 256;
