create view tenantpilot_takeover.row_backup_schedule_runs as
select r.*, t.workspace_id, t.tenant_id as new_tenant_id, m.user_id as new_user_id, u.name::text as user_name
from (select null::bigint as user_id) missing
cross join (select timezone as zone from tenantpilot_takeover.takeover limit 1) k
cross join lateral (
	select id::bigint, operation_run_id::bigint as bridge, tenant_id::bigint, user_id::bigint, status::text,
		backup_schedule_id::bigint, backup_set_id::bigint, tenantpilot_takeover.moment(scheduled_for, zone) as scheduled_for,
		tenantpilot_takeover.document(summary) as summary, error_code::text, error_message::text,
		tenantpilot_takeover.moment(started_at, zone) as started_at, tenantpilot_takeover.moment(finished_at, zone) as finished_at,
		tenantpilot_takeover.moment(created_at, zone) as created_at, tenantpilot_takeover.moment(updated_at, zone) as updated_at
	from backup_schedule_runs
) r
left join tenantpilot_takeover.tenant_map t on t.legacy_id = r.tenant_id
left join tenantpilot_takeover.user_map m on m.legacy_id = r.user_id
left join users u on u.id = r.user_id;

create view tenantpilot_takeover.link_backup_schedule_runs as
select r.*, r.id as legacy_id, l.link, case l.link when 'linked' then f.run_id else o.own_id end as run_id
from tenantpilot_takeover.row_backup_schedule_runs r
cross join lateral (select r.id + (select base from tenantpilot_takeover.run_block where source = 'backup_schedule_runs') as own_id offset 0) o
left join lateral tenantpilot_takeover.bridged(r.bridge) f on true
cross join lateral (select tenantpilot_takeover.link(r.bridge, o.own_id, false, f.type, 'backup_schedule_run', tenantpilot_takeover.same_tenant(r.tenant_id, f.tenant_id), exists (
	select from backup_schedule_runs e where e.id < r.id and e.operation_run_id in (f.run_id, f.legacy_run_id)
		and tenantpilot_takeover.same_tenant(e.tenant_id, f.tenant_id))) as link offset 0) l;

create view tenantpilot_takeover.mapped_backup_schedule_runs as
select r.legacy_id, r.link, r.bridge, r.run_id, r.workspace_id, r.new_tenant_id as tenant_id, r.new_user_id as user_id,
	tenantpilot_takeover.named(r.user_name, 'scheduler') as initiator_name,
	'backup_schedule_run'::text as type, l.status, l.outcome,
	tenantpilot_takeover.identity(r.new_tenant_id, 'backup_schedule_run', coalesce(r.backup_schedule_id::text, '') || ':' || coalesce(s.scheduled_for, '')) as run_identity_hash,
	jsonb_build_object(
		'total', coalesce(tenantpilot_takeover.whole(d.summary -> 'total_policies'), 0),
		'succeeded', coalesce(tenantpilot_takeover.whole(d.summary -> 'backed_up'), 0),
		'failed', coalesce(tenantpilot_takeover.whole(d.summary -> 'errors'), 0)) as summary_counts,
	case when l.given_up then tenantpilot_takeover.given_up(f.failures) else f.failures end as failure_summary,
	jsonb_build_object(
		'inputs', jsonb_build_object('backup_schedule_id', r.backup_schedule_id, 'scheduled_for', s.scheduled_for),
		'backup_set_id', r.backup_set_id,
		'trigger', 'scheduled',
		'legacy', tenantpilot_takeover.origin('backup_schedule_runs', r.id, r.status, l.notes)) as context,
	r.started_at, l.completed_at, l.created as created_at, l.updated as updated_at
from tenantpilot_takeover.link_backup_schedule_runs r
cross join lateral (select r.summary offset 0) d -- parsed once
cross join lateral (select tenantpilot_takeover.written(r.scheduled_for) as scheduled_for offset 0) s
cross join lateral (select tenantpilot_takeover.failures(r.error_code, 'unknown', r.error_message) as failures offset 0) f
cross join lateral (select * from tenantpilot_takeover.life(tenantpilot_takeover.word(r.status), r.started_at, r.finished_at, r.created_at, r.updated_at) offset 0) l;
