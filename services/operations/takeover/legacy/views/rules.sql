-- The rules that the views of all sources share. Package mapping has the same rules in Go,
-- and a test proves that they agree. No value of a row makes a rule fail. Functions that are
-- called for every row have no sub-selects, so that the planner can inline them.

-- A timestamp without a zone is in the zone of the takeover. An infinite one becomes null.
create or replace function tenantpilot_takeover.moment(at timestamptz, zone text) returns timestamptz
	language sql stable as $$ select case when isfinite(at) then at end $$;
create or replace function tenantpilot_takeover.moment(at timestamp, zone text) returns timestamptz
	language sql stable as $$ select case when isfinite(at) then at at time zone zone end $$;

-- Repairs JSON that jsonb refuses: \u0000 and single halves of surrogate pairs become U+FFFD.
-- It is null for text that is no JSON, or holds a number that is too long.
create or replace function tenantpilot_takeover.repaired(doc text) returns jsonb language plpgsql stable as $$
begin
	return doc::jsonb;
exception when others then
	begin
		return regexp_replace(doc, '\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\ufffd', 'g')::jsonb;
	exception when others then
		return null;
	end;
end $$;
create or replace function tenantpilot_takeover.document(doc jsonb) returns jsonb
	language sql stable as $$ select doc $$;
create or replace function tenantpilot_takeover.document(doc json) returns jsonb
	language sql stable as $$ select case when doc::text ~ '\\u|[0-9][eE]' then tenantpilot_takeover.repaired(doc::text) else doc::jsonb end $$;
create or replace function tenantpilot_takeover.document(doc text) returns jsonb
	language sql stable as $$ select tenantpilot_takeover.repaired(doc) $$;

-- Statuses are compared in lower case and without separators: "Completed_with errors" is
-- completedwitherrors.
create or replace function tenantpilot_takeover.word(status text) returns text
	language sql stable as $$ select translate(lower(status collate "C"), ' _-', '') $$;

-- The outcome that a status stands for: pending for active rows, null for an unknown status.
create or replace function tenantpilot_takeover.verdict(word text) returns text language sql stable as $$
	select case word
		when 'success' then 'succeeded' when 'succeeded' then 'succeeded' when 'completed' then 'succeeded'
		when 'failed' then 'failed' when 'aborted' then 'failed'
		when 'partial' then 'partially_succeeded' when 'partiallysucceeded' then 'partially_succeeded'
		when 'completedwitherrors' then 'partially_succeeded'
		when 'skipped' then 'cancelled' when 'canceled' then 'cancelled' when 'cancelled' then 'cancelled'
		when 'running' then 'pending' when 'pending' then 'pending' when 'queued' then 'pending'
	end $$;

-- The states of a restore before somebody asks to execute it.
create or replace function tenantpilot_takeover.is_wizard(word text) returns boolean
	language sql stable as $$ select word in ('draft', 'scoped', 'checked', 'previewed', 'pending') is true $$;

-- The state of a run: status and outcome, its times, whether it is given up because nothing
-- touched it for too long, and notes about the values that are missing in the row.
create or replace function tenantpilot_takeover.life(word text, started_at timestamptz, finished_at timestamptz,
	created_at timestamptz, updated_at timestamptz)
	returns table (status text, outcome text, completed_at timestamptz, created timestamptz, updated timestamptz, given_up boolean, notes jsonb)
	language sql stable as $$
	select
		case when e.active and not e.given_up then case word when 'running' then 'running' else 'queued' end else 'completed' end,
		case when e.active and not e.given_up then 'pending' when e.given_up then 'failed' else coalesce(v.outcome, 'failed') end,
		case when not e.active or e.given_up then coalesce(finished_at, updated_at, c.created) end,
		c.created,
		coalesce(updated_at, finished_at, started_at, c.created),
		e.given_up,
		case when created_at is null or v.outcome is null or e.given_up or (finished_at is null and not e.active) then
			to_jsonb(array_remove(array[
				case when created_at is null then 'created_at_missing' end,
				case when v.outcome is null then 'unknown_status' end,
				case when e.given_up then 'given_up_as_stale' end,
				case when finished_at is null and (not e.active or e.given_up) then
					case when updated_at is null then 'completed_at_from_created_at' else 'completed_at_from_updated_at' end end
			], null)) end
	from (select tenantpilot_takeover.verdict(word) as outcome offset 0) v
	cross join lateral (select coalesce(created_at, started_at, updated_at, finished_at,
		(select k.created_at from tenantpilot_takeover.takeover k)) as created offset 0) c
	cross join lateral (
		select a.active, a.active and coalesce(updated_at, started_at, c.created) < (select stale_before from tenantpilot_takeover.takeover) as given_up
		from (select coalesce(v.outcome = 'pending', false) as active) a offset 0) e $$;

-- A count is a whole number, 0 or more: of a number its fraction is dropped, and a string of
-- digits counts as its number. Anything else is null.
create or replace function tenantpilot_takeover.whole(value jsonb) returns bigint language sql stable as $$
	select case jsonb_typeof(value)
		when 'number' then case when value::numeric >= 0 and value::numeric < 9223372036854775808 then trunc(value::numeric)::bigint end
		when 'string' then case when value #>> '{}' ~ '^[0-9]{1,18}$' then (value #>> '{}')::bigint end
	end $$;
create or replace function tenantpilot_takeover.positive(value bigint) returns bigint
	language sql stable as $$ select greatest(value, 0) $$; -- null becomes 0

-- The code of a failure: a string, a number, or the "code" of an object.
create or replace function tenantpilot_takeover.code(value jsonb) returns text language sql stable as $$
	select case jsonb_typeof(value)
		when 'string' then value #>> '{}' when 'number' then value #>> '{}'
		when 'object' then case when jsonb_typeof(value -> 'code') in ('string', 'number') then value ->> 'code' end
	end $$;
create or replace function tenantpilot_takeover.failure(code text, reason_code text, message text) returns jsonb
	language sql stable as $$ select jsonb_build_object('code', code, 'reason_code', reason_code, 'message', message) $$;

-- A list of one failure, empty if there is no code. Its message is cut at 120 characters.
create or replace function tenantpilot_takeover.failures(code text, reason_code text, message text) returns jsonb
	language sql stable as $$
	select case when code <> '' then
		jsonb_build_array(tenantpilot_takeover.failure(code, coalesce(nullif(reason_code, ''), 'unknown'), coalesce(left(message, 120), '')))
	else '[]' end $$;

-- The codes of a list. A single code counts as a list of one.
create or replace function tenantpilot_takeover.coded(codes jsonb) returns jsonb language sql stable as $$
	select case
		when codes is null or codes in ('[]', 'null', '{}') then '[]'
		else coalesce((select jsonb_agg(tenantpilot_takeover.failure(tenantpilot_takeover.code(c.value), 'unknown', '') order by c.place)
			from jsonb_array_elements(case jsonb_typeof(codes) when 'array' then codes else jsonb_build_array(codes) end) with ordinality c (value, place)
			where tenantpilot_takeover.code(c.value) is not null), '[]')
	end $$;

-- The optional fields of a failure.
create or replace function tenantpilot_takeover.more_of_failure(failure jsonb) returns jsonb language sql stable as $$
	select case when jsonb_typeof(failure) = 'object' then coalesce((select jsonb_object_agg(key, value) from jsonb_each(failure)
		where key in ('item', 'remediation', 'request_id') and jsonb_typeof(value) = 'string' or key = 'retryable' and jsonb_typeof(value) = 'boolean'), '{}')
	else '{}' end $$;

-- The failures of a canonical run, with the fields that failures have now.
create or replace function tenantpilot_takeover.normal_failures(failures jsonb) returns jsonb language sql stable as $$
	select case
		when failures is null or failures in ('[]', 'null', '{}') then '[]'
		else coalesce((select jsonb_agg(tenantpilot_takeover.failure(
				coalesce(tenantpilot_takeover.code(f.value), 'unknown'),
				case jsonb_typeof(f.value -> 'reason_code') when 'string' then coalesce(nullif(f.value ->> 'reason_code', ''), 'unknown') else 'unknown' end,
				case jsonb_typeof(f.value -> 'message') when 'string' then f.value ->> 'message' else '' end)
				|| tenantpilot_takeover.more_of_failure(f.value) order by f.place)
			from jsonb_array_elements(case jsonb_typeof(failures) when 'array' then failures else jsonb_build_array(failures) end) with ordinality f (value, place)
			where jsonb_typeof(f.value) in ('object', 'string', 'number')), '[]')
	end $$;
create or replace function tenantpilot_takeover.normal_counts(counts jsonb) returns jsonb language sql stable as $$
	select case when jsonb_typeof(counts) is distinct from 'object' or counts = '{}' then '{}' else
		coalesce((select jsonb_object_agg(key, tenantpilot_takeover.whole(value)) from jsonb_each(counts) where tenantpilot_takeover.whole(value) is not null), '{}') end $$;

-- A document, under its name, if it holds more than the run made of it: it is kept.
create or replace function tenantpilot_takeover.odd(name text, doc jsonb, made jsonb) returns jsonb language sql stable as $$
	select case when doc is null or doc in ('[]', 'null', '{}') or made @> jsonb_strip_nulls(doc)
			or jsonb_typeof(made) = 'array' and jsonb_typeof(doc) = 'object' and made @> jsonb_build_array(jsonb_strip_nulls(doc)) then '{}'
		else jsonb_build_object(name, doc) end $$;

-- The items of a restore's results: the results themselves, if they are a list, or else their
-- "items", which may be a list or an object.
create or replace function tenantpilot_takeover.items(results jsonb) returns jsonpath language sql stable as $$
	select case
		when jsonb_typeof(results) = 'array' then 'strict $[*]'::jsonpath
		when jsonb_typeof(results -> 'items') = 'array' then 'strict $.items[*]'::jsonpath
		when jsonb_typeof(results -> 'items') = 'object' then 'strict $.items.*'::jsonpath
	end $$;

-- Whether an item was restored: its "ok" decides, without it its "success", without both its
-- "status", and else the item itself.
create or replace function tenantpilot_takeover.said(item jsonb) returns jsonb language sql stable as $$
	select coalesce(nullif(item -> 'ok', 'null'), nullif(item -> 'success', 'null'), nullif(item -> 'status', 'null'), item) $$;
create or replace function tenantpilot_takeover.restored(said jsonb) returns boolean language sql stable as $$
	select case jsonb_typeof(said)
		when 'boolean' then said = 'true'
		when 'string' then tenantpilot_takeover.word(said #>> '{}') in ('ok', 'success', 'succeeded', 'applied', 'created', 'updated', 'completed', 'done', 'unchanged', 'dryrun')
		else false end $$;

-- Adds the failure of a run that is given up, after the failures that the row has.
create or replace function tenantpilot_takeover.given_up(failures jsonb) returns jsonb language sql stable as $$
	select failures || jsonb_build_array(tenantpilot_takeover.failure('lease_expired', 'lease_expired',
		'It was still active when it was taken over, and nothing had touched it for too long.')) $$;

-- context.legacy: where a run comes from.
create or replace function tenantpilot_takeover.origin(source text, id bigint, status text, notes jsonb) returns jsonb
	language sql stable as $$
	select case when notes is null then jsonb_build_object('source', source, 'id', id, 'status', status)
		else jsonb_build_object('source', source, 'id', id, 'status', status, 'notes', notes) end $$;

create or replace function tenantpilot_takeover.identity(tenant_id bigint, type text, inputs text) returns bytea
	language sql stable as $$ select sha256(convert_to(coalesce(tenant_id::text, '') || '|' || type || '|' || inputs, 'UTF8')) $$;

-- A name is cut at 255 characters: an index cannot hold longer texts.
create or replace function tenantpilot_takeover.named(name text, otherwise text) returns text
	language sql stable as $$ select left(coalesce(nullif(name, ''), otherwise), 255) $$;

-- The status by which a canonical run is judged: its outcome, if it is completed.
create or replace function tenantpilot_takeover.run_word(status text, outcome text) returns text language sql stable as $$
	select case when tenantpilot_takeover.word(status) is distinct from 'completed' then tenantpilot_takeover.word(status)
		when tenantpilot_takeover.verdict(tenantpilot_takeover.word(outcome)) <> 'pending' then tenantpilot_takeover.word(outcome) end $$;

-- A string or number of a context, or else of its inputs, in the way labels are made.
create or replace function tenantpilot_takeover.scalar(value jsonb) returns text language sql stable as $$
	select case when jsonb_typeof(value) in ('string', 'number') then nullif(value #>> '{}', '') end $$;
create or replace function tenantpilot_takeover.field(doc jsonb, key text) returns text language sql stable as $$
	select tenantpilot_takeover.scalar(case when doc ? key then doc -> key else doc -> 'inputs' -> key end) $$;

-- A time in the format of identity inputs, if it is in UTC.
create or replace function tenantpilot_takeover.utc(at text, zone text) returns text language sql stable as $$
	select case when at ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+]00:?00)?$' and (at ~ '(Z|[+]00:?00)$' or zone = 'UTC')
		then substr(at, 1, 10) || 'T' || substr(at, 12, 8) || '+00:00' end $$;

-- The inputs of a canonical run's identity, null if its context does not hold them.
create or replace function tenantpilot_takeover.inputs(type text, doc jsonb, zone text) returns text language sql stable as $$
	select case type
		when 'inventory_sync' then tenantpilot_takeover.field(doc, 'selection_hash')
		when 'entra_group_sync' then tenantpilot_takeover.field(doc, 'selection_key') || ':' || coalesce(tenantpilot_takeover.field(doc, 'slot_key'), '')
		when 'drift_generate_findings' then
			tenantpilot_takeover.field(doc, 'baseline_operation_run_id') || ':' || tenantpilot_takeover.field(doc, 'current_operation_run_id')
		when 'backup_schedule_run' then tenantpilot_takeover.field(doc, 'backup_schedule_id') || ':' || tenantpilot_takeover.utc(tenantpilot_takeover.field(doc, 'scheduled_for'), zone)
		when 'backup_schedule_retention' then tenantpilot_takeover.field(doc, 'backup_schedule_id')
		when 'backup_schedule_purge' then tenantpilot_takeover.field(doc, 'backup_schedule_id')
		when 'backup_verify' then tenantpilot_takeover.field(doc, 'backup_set_id')
		when 'restore_preview' then tenantpilot_takeover.field(doc, 'restore_run_id')
		when 'restore_execute' then tenantpilot_takeover.field(doc, 'restore_run_id')
		when 'tenant_connection_check' then ''
	end $$;

-- A context, or its inputs, with base added to the ids of runs in it. Its baseline_run_id and
-- current_run_id stay: they are ids of inventory_sync_runs.
create or replace function tenantpilot_takeover.moved(doc jsonb, base bigint, last bigint) returns jsonb language sql stable as $$
	select doc || coalesce((
		select jsonb_object_agg(key, case jsonb_typeof(value)
			when 'string' then to_jsonb((tenantpilot_takeover.whole(value) + base)::text) else to_jsonb(tenantpilot_takeover.whole(value) + base) end)
		from jsonb_each(doc)
		where key in ('baseline_operation_run_id', 'current_operation_run_id')
			and tenantpilot_takeover.whole(value) between 1 and last), '{}') $$;
create or replace function tenantpilot_takeover.shifted(doc jsonb, base bigint, last bigint) returns jsonb language sql stable as $$
	select tenantpilot_takeover.moved(doc, base, last) || case when jsonb_typeof(doc -> 'inputs') = 'object'
		then jsonb_build_object('inputs', tenantpilot_takeover.moved(doc -> 'inputs', base, last)) else '{}' end $$;

create or replace function tenantpilot_takeover.written(at timestamptz) returns text
	language sql stable as $$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"') $$;

-- The types that the tool knows; no decision is needed for them.
create or replace function tenantpilot_takeover.known_type(type text) returns text language sql stable as $$
	select case type
		when 'inventory.sync' then 'inventory_sync'
		when 'directory_groups.sync' then 'entra_group_sync'
		when 'drift.generate' then 'drift_generate_findings'
		when 'backup_schedule.scheduled' then 'backup_schedule_run'
		when 'backup_schedule.run_now' then 'backup_schedule_run'
		when 'backup_schedule.retry' then 'backup_schedule_run'
		when 'backup_schedule.retention' then 'backup_schedule_retention'
		when 'backup_schedule.purge' then 'backup_schedule_purge'
		when 'restore.execute' then 'restore_execute'
		else case when type in ('inventory_sync', 'drift_generate_findings', 'entra_group_sync', 'backup_schedule_run',
			'backup_schedule_retention', 'backup_schedule_purge', 'backup_verify', 'restore_preview', 'restore_execute',
			'tenant_connection_check') then type end
	end $$;

create or replace function tenantpilot_takeover.known_trigger(type text) returns text language sql stable as $$
	select case type when 'backup_schedule.scheduled' then 'scheduled' when 'backup_schedule.run_now' then 'run_now' when 'backup_schedule.retry' then 'retry' end $$;

-- The canonical run that a bridge names by its old id or by its new one, none if the run stays
-- behind. The tenant is the legacy tenant.
create or replace function tenantpilot_takeover.bridged(bridge bigint) returns table (run_id bigint, legacy_run_id bigint, type text, tenant_id bigint)
	language sql stable as $$
	select o.id::bigint + coalesce((select base from tenantpilot_takeover.run_block where source = 'operation_runs'), 0), o.id::bigint, t.canonical, o.tenant_id::bigint
	from operation_runs o cross join lateral (
		select case when exists (select from tenantpilot_takeover.type_map m where m.legacy_type = o.type)
			then (select m.canonical from tenantpilot_takeover.type_map m where m.legacy_type = o.type)
			else tenantpilot_takeover.known_type(o.type) end as canonical offset 0) t
	where o.id = case
			when bridge > (select base from tenantpilot_takeover.run_block where source = 'operation_runs')
			then bridge - (select base from tenantpilot_takeover.run_block where source = 'operation_runs')
			else bridge end
		and t.canonical is not null
	limit 1 $$;

-- Whether two legacy tenants are the same, or became the same tenant.
create or replace function tenantpilot_takeover.became_one(one bigint, other bigint) returns boolean language sql stable as $$
	select exists (select from tenantpilot_takeover.tenant_map a join tenantpilot_takeover.tenant_map b on b.tenant_id = a.tenant_id
		where a.legacy_id = one and b.legacy_id = other) $$;
create or replace function tenantpilot_takeover.same_tenant(one bigint, other bigint) returns boolean language sql stable as $$
	select case when one = other then true when one is null or other is null then coalesce(one, other) is null
		else tenantpilot_takeover.became_one(one, other) end $$;

-- The class of a row's link. To be linked, the run must have the type wanted and the row's
-- tenant, and no earlier row may have it. That counts in the wizard's states too: such a run
-- exists already and waits for the wizard.
create or replace function tenantpilot_takeover.link(bridge bigint, own_id bigint, wizard boolean, found text, wanted text, ours boolean, earlier boolean)
	returns text language sql stable as $$
	select case
		when bridge is null then case when wizard then 'wizard' else 'unlinked' end
		when bridge = own_id and not wizard then 'imported'
		when found = wanted and ours then case when not earlier then 'linked' when wizard then 'wizard' else 'duplicate' end
		when wizard then 'wizard'
		when found is null then 'dangling'
		else 'mismatched'
	end $$;
