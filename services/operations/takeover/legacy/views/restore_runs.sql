create view tenantpilot_takeover.row_restore_runs as
select r.*, t.workspace_id, t.tenant_id as new_tenant_id,
	tenantpilot_takeover.is_wizard(tenantpilot_takeover.word(r.status)) as wizard
from (select null::text as failure_reason, null::boolean as is_dry_run, null::timestamp as deleted_at) missing
cross join (select timezone as zone from tenantpilot_takeover.takeover limit 1) k
cross join lateral (
	select id::bigint, operation_run_id::bigint as bridge, tenant_id::bigint, status::text,
		backup_set_id::bigint, requested_by::text, is_dry_run::boolean, failure_reason::text,
		tenantpilot_takeover.document(results) as results,
		tenantpilot_takeover.moment(started_at, zone) as started_at, tenantpilot_takeover.moment(completed_at, zone) as finished_at,
		tenantpilot_takeover.moment(deleted_at, zone) as deleted_at,
		tenantpilot_takeover.moment(created_at, zone) as created_at, tenantpilot_takeover.moment(updated_at, zone) as updated_at
	from restore_runs
) r
left join tenantpilot_takeover.tenant_map t on t.legacy_id = r.tenant_id;

create view tenantpilot_takeover.link_restore_runs as
select r.*, r.id as legacy_id, l.link, case l.link when 'linked' then f.run_id else o.own_id end as run_id
from tenantpilot_takeover.row_restore_runs r
cross join lateral (select r.id + (select base from tenantpilot_takeover.run_block where source = 'restore_runs') as own_id offset 0) o
left join lateral tenantpilot_takeover.bridged(r.bridge) f on true
cross join lateral (select tenantpilot_takeover.link(r.bridge, o.own_id, r.wizard, f.type, 'restore_execute', tenantpilot_takeover.same_tenant(r.tenant_id, f.tenant_id), exists (
	select from restore_runs e where e.id < r.id and e.operation_run_id in (f.run_id, f.legacy_run_id)
		and tenantpilot_takeover.same_tenant(e.tenant_id, f.tenant_id))) as link offset 0) l;

create view tenantpilot_takeover.mapped_restore_runs as
select r.legacy_id, r.link, r.bridge, r.run_id, r.workspace_id, r.new_tenant_id as tenant_id, null::bigint as user_id,
	tenantpilot_takeover.named(r.requested_by, 'system') as initiator_name,
	'restore_execute'::text as type, l.status, l.outcome,
	tenantpilot_takeover.identity(r.new_tenant_id, 'restore_execute', r.id::text) as run_identity_hash,
	jsonb_build_object('total', i.total, 'succeeded', i.succeeded, 'failed', i.total - i.succeeded) as summary_counts,
	case when l.given_up then tenantpilot_takeover.given_up(f.failures) else f.failures end as failure_summary,
	jsonb_build_object(
		'inputs', jsonb_build_object('restore_run_id', r.id, 'backup_set_id', r.backup_set_id),
		'is_dry_run', r.is_dry_run,
		'legacy', case when r.deleted_at is null then w.legacy
			else w.legacy || jsonb_build_object('deleted_at', tenantpilot_takeover.written(r.deleted_at)) end) as context,
	r.started_at, l.completed_at, l.created as created_at, l.updated as updated_at
from tenantpilot_takeover.link_restore_runs r
cross join lateral (select r.results offset 0) d -- parsed once
cross join lateral (
	select count(*) as total, count(*) filter (where tenantpilot_takeover.restored(tenantpilot_takeover.said(item))) as succeeded
	from jsonb_path_query(d.results, tenantpilot_takeover.items(d.results)) item) i
cross join lateral (select tenantpilot_takeover.failures(case when r.failure_reason <> '' then 'restore.failed' end, 'unknown', r.failure_reason) as failures offset 0) f
cross join lateral (select * from tenantpilot_takeover.life(tenantpilot_takeover.word(r.status), r.started_at, r.finished_at, r.created_at, r.updated_at) offset 0) l
cross join lateral (select tenantpilot_takeover.origin('restore_runs', r.id, r.status, l.notes) as legacy offset 0) w;
