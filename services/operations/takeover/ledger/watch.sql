-- Notes writes to {table}. Every statement inserts a row of its own. If it relied on the row
-- of an earlier writer, verify could delete that row before this writer commits, and would
-- miss the write.
create or replace function tenantpilot_takeover.see_write() returns trigger
	language plpgsql security definer set search_path from current as $$
begin
	if coalesce(current_setting('tenantpilot_takeover.unseen', true), '') <> 'on' then
		insert into tenantpilot_takeover.write_seen (source) values (tg_argv[0]);
	end if;
	return null;
end $$;

create trigger tenantpilot_write_seen
	after insert or update or delete or truncate on {table}
	for each statement execute function tenantpilot_takeover.see_write('{table}');
