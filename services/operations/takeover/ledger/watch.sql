-- Notes that {table} was written to; verify installs it. Every statement adds a line of
-- its own: a writer that relied on the line of another would be missed if verify took
-- that one for seen before the writer committed.
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
