-- The rules that the views of every source share; package mapping has the same in
-- Go, and a test proves that they agree. Nothing here fails on what a row holds. Those
-- called for every row are such that the planner can inline them: no sub-selects.

-- Timestamps without a zone are in the takeover's; an infinite one says nothing.
create or replace function tenantpilot_takeover.moment(at timestamptz, zone text) returns timestamptz
	language sql stable as $$ select case when isfinite(at) then at end $$;
create or replace function tenantpilot_takeover.moment(at timestamp, zone text) returns timestamptz
	language sql stable as $$ select case when isfinite(at) then at at time zone zone end $$;

-- JSON that jsonb refuses: \u0000 and halves of surrogate pairs become U+FFFD; what is
-- no JSON at all, or holds a number without bounds, is null.
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

-- Statuses are compared in lower case and without what separates words.
create or replace function tenantpilot_takeover.word(status text) returns text
	language sql stable as $$ select translate(lower(status collate "C"), ' _-', '') $$;

-- The outcome that a status means: pending for active rows, null for a word nobody knows.
create or replace function tenantpilot_takeover.verdict(word text) returns text language sql stable as $$
	select case word
		when 'success' then 'succeeded' when 'succeeded' then 'succeeded' when 'completed' then 'succeeded'
		when 'failed' then 'failed' when 'aborted' then 'failed'
		when 'partial' then 'partially_succeeded' when 'partiallysucceeded' then 'partially_succeeded'
		when 'completedwitherrors' then 'partially_succeeded'
		when 'skipped' then 'cancelled' when 'canceled' then 'cancelled' when 'cancelled' then 'cancelled'
		when 'running' then 'pending' when 'pending' then 'pending' when 'queued' then 'pending'
	end $$;

-- The states of a restore that nobody has asked to be executed yet.
create or replace function tenantpilot_takeover.is_wizard(word text) returns boolean
	language sql stable as $$ select word in ('draft', 'scoped', 'checked', 'previewed', 'pending') is true $$;

-- Where in its life a row is: what its status means, when it ended, whether it is given
-- up because nothing touched it for too long, and what had to be made up for that.
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

-- A count is a whole number that is not negative: a number, whose fraction is dropped,
-- or a string of digits. Anything else is null.
create or replace function tenantpilot_takeover.whole(value jsonb) returns bigint language sql stable as $$
	select case jsonb_typeof(value)
		when 'number' then case when value::numeric >= 0 and value::numeric < 9223372036854775808 then trunc(value::numeric)::bigint end
		when 'string' then case when value #>> '{}' ~ '^[0-9]{1,18}$' then (value #>> '{}')::bigint end
	end $$;
create or replace function tenantpilot_takeover.positive(value bigint) returns bigint
	language sql stable as $$ select greatest(value, 0) $$; -- of null: 0

-- What is said of a code: a string, a number, or an object's own "code".
create or replace function tenantpilot_takeover.code(value jsonb) returns text language sql stable as $$
	select case jsonb_typeof(value)
		when 'string' then value #>> '{}' when 'number' then value #>> '{}'
		when 'object' then case when jsonb_typeof(value -> 'code') in ('string', 'number') then value ->> 'code' end
	end $$;
create or replace function tenantpilot_takeover.failure(code text, reason_code text, message text) returns jsonb
	language sql stable as $$ select jsonb_build_object('code', code, 'reason_code', reason_code, 'message', message) $$;

-- One failure, or none if there is no code; of the message its first 120 characters.
create or replace function tenantpilot_takeover.failures(code text, reason_code text, message text) returns jsonb
	language sql stable as $$
	select case when code <> '' then
		jsonb_build_array(tenantpilot_takeover.failure(code, coalesce(nullif(reason_code, ''), 'unknown'), coalesce(left(message, 120), '')))
	else '[]' end $$;

-- The codes of a list, or one that stands alone.
create or replace function tenantpilot_takeover.coded(codes jsonb) returns jsonb language sql stable as $$
	select case
		when codes is null or codes in ('[]', 'null', '{}') then '[]'
		else coalesce((select jsonb_agg(tenantpilot_takeover.failure(tenantpilot_takeover.code(c.value), 'unknown', '') order by c.place)
			from jsonb_array_elements(case jsonb_typeof(codes) when 'array' then codes else jsonb_build_array(codes) end) with ordinality c (value, place)
			where tenantpilot_takeover.code(c.value) is not null), '[]')
	end $$;

-- What a failure may have besides.
create or replace function tenantpilot_takeover.more_of_failure(failure jsonb) returns jsonb language sql stable as $$
	select case when jsonb_typeof(failure) = 'object' then coalesce((select jsonb_object_agg(key, value) from jsonb_each(failure)
		where key in ('item', 'remediation', 'request_id') and jsonb_typeof(value) = 'string' or key = 'retryable' and jsonb_typeof(value) = 'boolean'), '{}')
	else '{}' end $$;

-- The failures of a canonical run, with what each must and may have.
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

-- A document by its name if it says more than what was made of it, to be kept.
create or replace function tenantpilot_takeover.odd(name text, doc jsonb, made jsonb) returns jsonb language sql stable as $$
	select case when doc is null or doc in ('[]', 'null', '{}') or made @> jsonb_strip_nulls(doc)
			or jsonb_typeof(made) = 'array' and jsonb_typeof(doc) = 'object' and made @> jsonb_build_array(jsonb_strip_nulls(doc)) then '{}'
		else jsonb_build_object(name, doc) end $$;

-- Where a restore's results keep what became of its items: a list, or a list or an object under "items".
create or replace function tenantpilot_takeover.items(results jsonb) returns jsonpath language sql stable as $$
	select case
		when jsonb_typeof(results) = 'array' then 'strict $[*]'::jsonpath
		when jsonb_typeof(results -> 'items') = 'array' then 'strict $.items[*]'::jsonpath
		when jsonb_typeof(results -> 'items') = 'object' then 'strict $.items.*'::jsonpath
	end $$;

-- An item was restored if its "ok", else its "success", else its "status" says so, or else it does itself.
create or replace function tenantpilot_takeover.said(item jsonb) returns jsonb language sql stable as $$
	select coalesce(nullif(item -> 'ok', 'null'), nullif(item -> 'success', 'null'), nullif(item -> 'status', 'null'), item) $$;
create or replace function tenantpilot_takeover.restored(said jsonb) returns boolean language sql stable as $$
	select case jsonb_typeof(said)
		when 'boolean' then said = 'true'
		when 'string' then tenantpilot_takeover.word(said #>> '{}') in ('ok', 'success', 'succeeded', 'applied', 'created', 'updated', 'completed', 'done', 'unchanged', 'dryrun')
		else false end $$;

-- Given up: after what is known already.
create or replace function tenantpilot_takeover.given_up(failures jsonb) returns jsonb language sql stable as $$
	select failures || jsonb_build_array(tenantpilot_takeover.failure('lease_expired', 'lease_expired',
		'It was still active when it was taken over, and nothing had touched it for too long.')) $$;

-- Where a run comes from.
create or replace function tenantpilot_takeover.origin(source text, id bigint, status text, notes jsonb) returns jsonb
	language sql stable as $$
	select case when notes is null then jsonb_build_object('source', source, 'id', id, 'status', status)
		else jsonb_build_object('source', source, 'id', id, 'status', status, 'notes', notes) end $$;

create or replace function tenantpilot_takeover.identity(tenant_id bigint, type text, inputs text) returns bytea
	language sql stable as $$ select sha256(convert_to(coalesce(tenant_id::text, '') || '|' || type || '|' || inputs, 'UTF8')) $$;

-- A name that lists can be searched by: an index has no room for the longest texts.
create or replace function tenantpilot_takeover.named(name text, otherwise text) returns text
	language sql stable as $$ select left(coalesce(nullif(name, ''), otherwise), 255) $$;

-- The status that counts of a canonical run: its outcome, once it is completed.
create or replace function tenantpilot_takeover.run_word(status text, outcome text) returns text language sql stable as $$
	select case when tenantpilot_takeover.word(status) is distinct from 'completed' then tenantpilot_takeover.word(status)
		when tenantpilot_takeover.verdict(tenantpilot_takeover.word(outcome)) <> 'pending' then tenantpilot_takeover.word(outcome) end $$;

-- A string or number of a context, or else of its inputs; as labels are taken.
create or replace function tenantpilot_takeover.scalar(value jsonb) returns text language sql stable as $$
	select case when jsonb_typeof(value) in ('string', 'number') then nullif(value #>> '{}', '') end $$;
create or replace function tenantpilot_takeover.field(doc jsonb, key text) returns text language sql stable as $$
	select tenantpilot_takeover.scalar(case when doc ? key then doc -> key else doc -> 'inputs' -> key end) $$;

-- A time as inputs have it, if it is one in UTC.
create or replace function tenantpilot_takeover.utc(at text, zone text) returns text language sql stable as $$
	select case when at ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+]00:?00)?$' and (at ~ '(Z|[+]00:?00)$' or zone = 'UTC')
		then substr(at, 1, 10) || 'T' || substr(at, 12, 8) || '+00:00' end $$;

-- The inputs of a canonical run's identity, null where its context does not tell them.
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

-- A context, or its inputs, with the ids of runs in it moved by base. What is called
-- baseline_run_id and current_run_id are rows of inventory_sync_runs.
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

-- The types that need no decision.
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

-- The canonical run that a bridge names, translated or not; none if it stays behind. The
-- tenant is the legacy one.
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

-- Whether two legacy tenants are one, or have become one.
create or replace function tenantpilot_takeover.became_one(one bigint, other bigint) returns boolean language sql stable as $$
	select exists (select from tenantpilot_takeover.tenant_map a join tenantpilot_takeover.tenant_map b on b.tenant_id = a.tenant_id
		where a.legacy_id = one and b.legacy_id = other) $$;
create or replace function tenantpilot_takeover.same_tenant(one bigint, other bigint) returns boolean language sql stable as $$
	select case when one = other then true when one is null or other is null then coalesce(one, other) is null
		else tenantpilot_takeover.became_one(one, other) end $$;

-- What a row's bridge is worth: the run found must be of the type wanted and of the row's
-- tenant, and no earlier row's. A valid link counts in the wizard's states too: the run
-- is there already, and waits for the wizard's end.
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
