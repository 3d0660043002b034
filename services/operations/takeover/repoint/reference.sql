-- Translates references to rows of inventory_sync_runs into references to runs. Repoint runs
-- this file for each reference, with {table}, {old}, {new} and {added} replaced.

-- The run that a value stands for: the value itself, or its translation if the older
-- installation wrote an old id. Null if the operations database does not have the run.
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

-- Keeps the new column right while the older installation writes the old column, or writes an
-- old id into the new one. It also saves what rollback needs. An update that changes neither
-- column is one of repoint, which only wants the trigger to fire.
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
