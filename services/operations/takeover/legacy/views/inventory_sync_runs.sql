-- The rows, with their new workspace, tenant and user. A column of a later version that the
-- table lacks reads as null: its name then resolves to a null column one level up.
create view tenantpilot_takeover.row_inventory_sync_runs as
select r.*, t.workspace_id, t.tenant_id as new_tenant_id, m.user_id as new_user_id, u.name::text as user_name
from (select null::bigint as user_id, null::jsonb as selection_payload) missing
cross join (select timezone as zone from tenantpilot_takeover.takeover limit 1) k
cross join lateral (
	select id::bigint, operation_run_id::bigint as bridge, tenant_id::bigint, user_id::bigint, status::text, selection_hash::text,
		tenantpilot_takeover.document(selection_payload) as selection_payload, tenantpilot_takeover.document(error_codes) as error_codes,
		items_observed_count::bigint, items_upserted_count::bigint, errors_count::bigint,
		tenantpilot_takeover.moment(started_at, zone) as started_at, tenantpilot_takeover.moment(finished_at, zone) as finished_at,
		tenantpilot_takeover.moment(created_at, zone) as created_at, tenantpilot_takeover.moment(updated_at, zone) as updated_at
	from inventory_sync_runs
) r
left join tenantpilot_takeover.tenant_map t on t.legacy_id = r.tenant_id
left join tenantpilot_takeover.user_map m on m.legacy_id = r.user_id
left join users u on u.id = r.user_id;

create view tenantpilot_takeover.link_inventory_sync_runs as
select r.*, r.id as legacy_id, l.link, case l.link when 'linked' then f.run_id else o.own_id end as run_id
from tenantpilot_takeover.row_inventory_sync_runs r
cross join lateral (select r.id + (select base from tenantpilot_takeover.run_block where source = 'inventory_sync_runs') as own_id offset 0) o
left join lateral tenantpilot_takeover.bridged(r.bridge) f on true
cross join lateral (select tenantpilot_takeover.link(r.bridge, o.own_id, false, f.type, 'inventory_sync', tenantpilot_takeover.same_tenant(r.tenant_id, f.tenant_id), exists (
	select from inventory_sync_runs e where e.id < r.id and e.operation_run_id in (f.run_id, f.legacy_run_id)
		and tenantpilot_takeover.same_tenant(e.tenant_id, f.tenant_id))) as link offset 0) l;

create view tenantpilot_takeover.mapped_inventory_sync_runs as
select r.legacy_id, r.link, r.bridge, r.run_id, r.workspace_id, r.new_tenant_id as tenant_id, r.new_user_id as user_id,
	tenantpilot_takeover.named(r.user_name, 'system') as initiator_name,
	'inventory_sync'::text as type, l.status, l.outcome,
	tenantpilot_takeover.identity(r.new_tenant_id, 'inventory_sync', coalesce(r.selection_hash, '')) as run_identity_hash,
	jsonb_build_object(
		'total', tenantpilot_takeover.positive(r.items_observed_count),
		'succeeded', tenantpilot_takeover.positive(r.items_upserted_count),
		'failed', tenantpilot_takeover.positive(r.errors_count)) as summary_counts,
	case when l.given_up then tenantpilot_takeover.given_up(f.failures) else f.failures end as failure_summary,
	jsonb_build_object(
		'inputs', jsonb_build_object('selection_hash', r.selection_hash),
		'selection_payload', r.selection_payload,
		'legacy', tenantpilot_takeover.origin('inventory_sync_runs', r.id, r.status, l.notes)) as context,
	r.started_at, l.completed_at, l.created as created_at, l.updated as updated_at
from tenantpilot_takeover.link_inventory_sync_runs r
cross join lateral (select case when r.error_codes is null or r.error_codes = '[]' then '[]' else tenantpilot_takeover.coded(r.error_codes) end as failures offset 0) f
cross join lateral (select * from tenantpilot_takeover.life(tenantpilot_takeover.word(r.status), r.started_at, r.finished_at, r.created_at, r.updated_at) offset 0) l;
