create view tenantpilot_takeover.row_operation_runs as
select r.*, coalesce(w.workspace_id, t.workspace_id) as new_workspace_id, t.tenant_id as new_tenant_id, m.user_id as new_user_id, u.name::text as user_name,
	case when y.legacy_type is null then tenantpilot_takeover.known_type(r.type) else y.canonical end as canonical,
	case when y.legacy_type is null then tenantpilot_takeover.known_trigger(r.type) else y.trigger end as trigger
from (select timezone as zone from tenantpilot_takeover.takeover limit 1) k
cross join lateral (
	select id::bigint, workspace_id::bigint, tenant_id::bigint, user_id::bigint, initiator_name::text, type::text, status::text, outcome::text,
		run_identity_hash::text, tenantpilot_takeover.document(summary_counts) as summary_counts,
		tenantpilot_takeover.document(failure_summary) as failure_summary, tenantpilot_takeover.document(context) as context,
		tenantpilot_takeover.moment(started_at, zone) as started_at, tenantpilot_takeover.moment(completed_at, zone) as finished_at,
		tenantpilot_takeover.moment(created_at, zone) as created_at, tenantpilot_takeover.moment(updated_at, zone) as updated_at
	from operation_runs
) r
left join tenantpilot_takeover.workspace_map w on w.legacy_id = r.workspace_id
left join tenantpilot_takeover.tenant_map t on t.legacy_id = r.tenant_id
left join tenantpilot_takeover.user_map m on m.legacy_id = r.user_id
left join users u on u.id = r.user_id
left join tenantpilot_takeover.type_map y on y.legacy_type = r.type;

create view tenantpilot_takeover.link_operation_runs as
select r.*, r.id as legacy_id, case when r.canonical is null then 'archived' else 'adopt' end as link,
	r.id + (select base from tenantpilot_takeover.run_block where source = 'operation_runs') as run_id
from tenantpilot_takeover.row_operation_runs r;

-- A run keeps its context and gets context.legacy, which says where it comes from. A context
-- that is no object, and counts or failures that hold more than the run can, are kept there.
create view tenantpilot_takeover.mapped_operation_runs as
select r.legacy_id, r.link, null::bigint as bridge, r.run_id, r.new_workspace_id as workspace_id, r.new_tenant_id as tenant_id, r.new_user_id as user_id,
	tenantpilot_takeover.named(coalesce(nullif(r.initiator_name, ''), r.user_name), 'system') as initiator_name,
	r.canonical as type, l.status, l.outcome,
	case when h.inputs is not null then tenantpilot_takeover.identity(r.new_tenant_id, r.canonical, h.inputs)
		when r.run_identity_hash ~ '^[0-9a-fA-F]{64}$' then decode(r.run_identity_hash, 'hex')
		else sha256(convert_to(coalesce(r.run_identity_hash, ''), 'UTF8')) end as run_identity_hash,
	c.counts as summary_counts,
	case when l.given_up then tenantpilot_takeover.given_up(f.failures) else f.failures end as failure_summary,
	d.doc || case when r.trigger is null then '{}' else jsonb_build_object('trigger', r.trigger) end
		|| jsonb_build_object('legacy',
			jsonb_build_object('source', 'operation_runs', 'id', r.id, 'status', coalesce(r.status, '') || '/' || coalesce(r.outcome, ''), 'type', r.type)
			|| case when n.notes = '[]' then '{}' else jsonb_build_object('notes', n.notes) end
			|| case when d.doc ? 'legacy' then jsonb_build_object('earlier', d.doc -> 'legacy') else '{}' end
			|| case when jsonb_typeof(r.context) not in ('object', 'null') then jsonb_build_object('context', r.context) else '{}' end
			|| tenantpilot_takeover.odd('failure_summary', r.failure_summary, f.failures)
			|| tenantpilot_takeover.odd('summary_counts', r.summary_counts, c.counts)) as context,
	r.started_at, l.completed_at, l.created as created_at, l.updated as updated_at
from tenantpilot_takeover.link_operation_runs r
cross join lateral (select case
	when jsonb_typeof(r.context) is distinct from 'object' then '{}'
	when r.canonical = 'drift_generate_findings' and (select base from tenantpilot_takeover.run_block where source = 'operation_runs') > 0 then
		tenantpilot_takeover.shifted(r.context, (select base from tenantpilot_takeover.run_block where source = 'operation_runs'),
			(select last_legacy_id from tenantpilot_takeover.run_block where source = 'operation_runs'))
	else r.context end as doc offset 0) d
cross join lateral (select case when r.tenant_id is null or r.new_tenant_id is not null then
	tenantpilot_takeover.inputs(r.canonical, d.doc, (select timezone from tenantpilot_takeover.takeover)) end as inputs offset 0) h
cross join lateral (select case when r.failure_summary is null or r.failure_summary = '[]' then '[]'
	else tenantpilot_takeover.normal_failures(r.failure_summary) end as failures offset 0) f
cross join lateral (select tenantpilot_takeover.normal_counts(r.summary_counts) as counts offset 0) c
cross join lateral (select * from tenantpilot_takeover.life(tenantpilot_takeover.run_word(r.status, r.outcome), r.started_at, r.finished_at, r.created_at, r.updated_at) offset 0) l
cross join lateral (select coalesce(l.notes, '[]')
	|| case when h.inputs is null then '["hash_kept"]' else '[]'::jsonb end
	|| case when r.tenant_id is not null and r.new_tenant_id is null then '["tenant_missing"]' else '[]'::jsonb end as notes offset 0) n;
