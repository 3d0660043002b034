-- How a reference to a row of inventory_sync_runs becomes one to a run. Made anew
-- by repoint; {table}, {old}, {new} and {added} are put in for each reference.

-- The canonical run that a value means: one written by the older installation is not
-- translated yet. Null if the operations database does not have it.
create or replace function tenantpilot_takeover.existing_run(value bigint) returns bigint
	language plpgsql stable as $$
begin
	if value is null then
		return null;
	end if;
	return (select r.id from tenantpilot_takeover.run_block b,
			lateral (select case when value between 1 and b.last_legacy_id then b.base + value else value end as id) r
		where b.source = 'operation_runs' and not exists (select from tenantpilot_takeover.missing_run m where m.run_id = r.id));
end $$;

-- The run that a row of inventory_sync_runs became.
create or replace function tenantpilot_takeover.run_of_sync(sync_id bigint) returns bigint
	language plpgsql stable as $$
begin
	return tenantpilot_takeover.existing_run((select s.operation_run_id from inventory_sync_runs s where s.id = sync_id));
end $$;

-- Keeps the new column right while the older installation writes the old one, or an
-- id of its own into the new one, and keeps what rollback needs. An update that
-- changes neither is repoint passing by.
create or replace function tenantpilot_takeover.repoint_{table}_{old}() returns trigger
	language plpgsql security definer set search_path from current as $$
declare
	written bigint := new.{new};
	moved boolean := true; -- the old column was written
	said boolean := true; -- the new column was written
begin
	if tg_op = 'UPDATE' then
		moved := new.{old} is distinct from old.{old};
		said := new.{new} is distinct from old.{new};
	end if;
	new.{new} := tenantpilot_takeover.run_of_sync(new.{old});
	if new.{new} is null and (said or not moved) then
		new.{new} := tenantpilot_takeover.existing_run(written);
	end if;
	if new.{old} is not null then
		insert into tenantpilot_takeover.saved_reference as s values ('{table}', '{old}', new.id, new.{old})
			on conflict (table_name, column_name, id) do update set value = excluded.value where s.value <> excluded.value;
	elsif tg_op = 'UPDATE' and moved then
		delete from tenantpilot_takeover.saved_reference where table_name = '{table}' and column_name = '{old}' and id = new.id;
	end if;
	if not {added} and (said or new.{new} is distinct from written) then
		insert into tenantpilot_takeover.saved_reference as s values ('{table}', '{new}', new.id, written)
			on conflict (table_name, column_name, id) do update set value = excluded.value where said;
	end if;
	return new;
end $$;
