-- +goose Up

-- Schedules are now kept in the tables of pkg/schedule. Until no binary uses
-- sync_schedule and schedule_slot any more, both places hold the same: a binary of
-- before this migration and one of after it may run side by side, and either may
-- be the one that stays. A later migration drops the old tables.

-- What a binary of before writes from here on waits, and is then copied by a trigger.
lock table sync_schedule, schedule_slot in share row exclusive mode;

-- One sequence numbers the schedules of both places.
alter table schedule alter column id drop identity;
alter table schedule alter column id set default nextval('sync_schedule_id_seq');
grant usage on sequence sync_schedule_id_seq to inventory_app;

-- What was remembered of the requests that made schedules had columns of its own.
insert into answered_request (workspace_id, service, request_id, digest, answer, created_at)
select workspace_id, caller, request_id, request_digest, to_jsonb(id), create_time
from sync_schedule where request_id is not null;

insert into schedule (id, workspace_id, tenant_id, display_name, cron, time_zone, paused,
    next_slot_time, last_slot_time, last_operation_run_id, create_time, update_time, details)
select id, workspace_id, tenant_id, display_name, cron, time_zone, paused,
    next_slot_time, last_slot_time, last_operation_run_id, create_time, update_time, jsonb_build_object('types', types)
from sync_schedule;

insert into schedule_due (schedule_id, slot_time, operation_run_id, create_time)
select sync_schedule_id, slot_time, operation_run_id, create_time from schedule_slot;

-- Each of the functions below copies a change to the other place. A change that
-- is itself such a copy comes from a trigger, and is not copied back.

-- +goose StatementBegin
create function copy_old_schedule() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() > 1 then
        return null;
    end if;
    if tg_op = 'DELETE' then
        delete from schedule where id = old.id;
        return null;
    end if;
    insert into schedule (id, workspace_id, tenant_id, display_name, cron, time_zone, paused,
        next_slot_time, last_slot_time, last_operation_run_id, create_time, update_time, details)
    values (new.id, new.workspace_id, new.tenant_id, new.display_name, new.cron, new.time_zone, new.paused,
        new.next_slot_time, new.last_slot_time, new.last_operation_run_id, new.create_time, new.update_time,
        jsonb_build_object('types', new.types))
    on conflict (id) do update set display_name = excluded.display_name, cron = excluded.cron,
        time_zone = excluded.time_zone, paused = excluded.paused, next_slot_time = excluded.next_slot_time,
        last_slot_time = excluded.last_slot_time, last_operation_run_id = excluded.last_operation_run_id,
        update_time = excluded.update_time;
    if tg_op = 'INSERT' and new.request_id is not null then
        insert into answered_request (workspace_id, service, request_id, digest, answer)
        values (new.workspace_id, new.caller, new.request_id, new.request_digest, to_jsonb(new.id))
        on conflict on constraint request_answered_once do nothing;
    end if;
    return null;
end $$;

create function copy_new_schedule() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() > 1 then
        return null;
    end if;
    if tg_op = 'DELETE' then
        delete from sync_schedule where id = old.id;
        return null;
    end if;
    insert into sync_schedule (id, workspace_id, tenant_id, display_name, cron, time_zone, paused,
        next_slot_time, last_slot_time, last_operation_run_id, create_time, update_time, types, caller)
    overriding system value
    values (new.id, new.workspace_id, new.tenant_id, new.display_name, new.cron, new.time_zone, new.paused,
        new.next_slot_time, new.last_slot_time, new.last_operation_run_id, new.create_time, new.update_time,
        array(select jsonb_array_elements_text(
            case jsonb_typeof(new.details -> 'types') when 'array' then new.details -> 'types' else '[]' end)), '')
    on conflict (id) do update set display_name = excluded.display_name, cron = excluded.cron,
        time_zone = excluded.time_zone, paused = excluded.paused, next_slot_time = excluded.next_slot_time,
        last_slot_time = excluded.last_slot_time, last_operation_run_id = excluded.last_operation_run_id,
        update_time = excluded.update_time;
    return null;
end $$;

-- The request that made a schedule is known to the new place when it is done.
create function copy_new_request() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() = 1 then
        update sync_schedule set caller = new.service, request_id = new.request_id, request_digest = new.digest
        where workspace_id = new.workspace_id and to_jsonb(id) = new.answer;
    end if;
    return null;
end $$;

create function copy_old_slot() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() > 1 then
        return null;
    end if;
    if tg_op = 'DELETE' then
        delete from schedule_due where schedule_id = old.sync_schedule_id and slot_time = old.slot_time;
        return null;
    end if;
    insert into schedule_due (schedule_id, slot_time, operation_run_id, create_time)
    values (new.sync_schedule_id, new.slot_time, new.operation_run_id, new.create_time)
    on conflict on constraint schedule_due_once do update
    set operation_run_id = coalesce(excluded.operation_run_id, schedule_due.operation_run_id);
    return null;
end $$;

create function copy_new_slot() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() > 1 then
        return null;
    end if;
    if tg_op = 'DELETE' then
        delete from schedule_slot where sync_schedule_id = old.schedule_id and slot_time = old.slot_time;
        return null;
    end if;
    insert into schedule_slot (sync_schedule_id, slot_time, operation_run_id, create_time)
    values (new.schedule_id, new.slot_time, new.operation_run_id, new.create_time)
    on conflict on constraint schedule_slot_once do update
    set operation_run_id = coalesce(excluded.operation_run_id, schedule_slot.operation_run_id);
    return null;
end $$;
-- +goose StatementEnd

create trigger copy_old_schedule after insert or update or delete on sync_schedule
    for each row execute function copy_old_schedule();
create trigger copy_new_schedule after insert or update or delete on schedule
    for each row execute function copy_new_schedule();
create trigger copy_new_request after update of answer on answered_request
    for each row execute function copy_new_request();
create trigger copy_old_slot after insert or update or delete on schedule_slot
    for each row execute function copy_old_slot();
create trigger copy_new_slot after insert or update or delete on schedule_due
    for each row execute function copy_new_slot();
