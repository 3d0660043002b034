CREATE FUNCTION public.copy_new_request() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if pg_trigger_depth() = 1 then
        update sync_schedule set caller = new.service, request_id = new.request_id, request_digest = new.digest
        where workspace_id = new.workspace_id and to_jsonb(id) = new.answer;
    end if;
    return null;
end $$;
CREATE FUNCTION public.copy_new_schedule() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.copy_new_slot() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.copy_old_schedule() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION public.copy_old_slot() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
CREATE TABLE public.answered_request (
    workspace_id bigint,
    service text NOT NULL,
    request_id text NOT NULL,
    digest bytea NOT NULL,
    answer jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT request_has_an_id CHECK (((char_length(request_id) >= 1) AND (char_length(request_id) <= 128)))
);
COMMENT ON COLUMN public.answered_request.workspace_id IS 'null for calls that are about no workspace yet';
CREATE TABLE public.coverage (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    operation_run_id bigint NOT NULL,
    lease_epoch bigint NOT NULL,
    start_time timestamp with time zone DEFAULT now() NOT NULL,
    end_time timestamp with time zone,
    listed_count bigint DEFAULT 0 NOT NULL,
    read_count bigint DEFAULT 0 NOT NULL,
    failed_count bigint DEFAULT 0 NOT NULL,
    created_count bigint DEFAULT 0 NOT NULL,
    updated_count bigint DEFAULT 0 NOT NULL,
    unchanged_count bigint DEFAULT 0 NOT NULL,
    removed_count bigint DEFAULT 0 NOT NULL,
    complete boolean DEFAULT false NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    reason_code text DEFAULT ''::text NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    CONSTRAINT coverage_complete_only_when_ended CHECK (((NOT complete) OR (end_time IS NOT NULL))),
    CONSTRAINT coverage_complete_without_failures CHECK (((NOT complete) OR (failed_count = 0))),
    CONSTRAINT coverage_counts_not_negative CHECK ((LEAST(listed_count, read_count, failed_count, created_count, updated_count, unchanged_count, removed_count) >= 0)),
    CONSTRAINT coverage_reason_iff_incomplete CHECK (((end_time IS NULL) OR (complete = (reason_code = ''::text)))),
    CONSTRAINT coverage_removes_only_when_complete CHECK (((removed_count = 0) OR complete))
);
ALTER TABLE public.coverage ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.coverage_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.item (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    last_seen_read_id bigint NOT NULL,
    last_seen_operation_run_id bigint NOT NULL,
    last_seen_time timestamp with time zone NOT NULL,
    first_seen_time timestamp with time zone NOT NULL,
    version_operation_run_id bigint NOT NULL,
    removed_time timestamp with time zone,
    version integer NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    external_id text NOT NULL COLLATE pg_catalog."C",
    display_name text NOT NULL,
    odata_type text NOT NULL,
    canonical_hash bytea NOT NULL,
    CONSTRAINT item_hash_is_sha256 CHECK ((octet_length(canonical_hash) = 32)),
    CONSTRAINT item_version_from_one CHECK ((version >= 1))
)
WITH (fillfactor='45');
ALTER TABLE public.item ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.item_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.item_version (
    item_id bigint NOT NULL,
    version integer NOT NULL,
    normaliser_version integer NOT NULL,
    operation_run_id bigint NOT NULL,
    create_time timestamp with time zone DEFAULT now() NOT NULL,
    display_name text NOT NULL,
    canonical_hash bytea NOT NULL,
    payload bytea NOT NULL,
    CONSTRAINT item_version_from_one CHECK ((version >= 1)),
    CONSTRAINT item_version_hash_is_sha256 CHECK ((octet_length(canonical_hash) = 32))
);
CREATE TABLE public.sync_schedule (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    display_name text NOT NULL,
    types text[] NOT NULL,
    cron text NOT NULL,
    time_zone text NOT NULL,
    paused boolean NOT NULL,
    next_slot_time timestamp with time zone,
    last_slot_time timestamp with time zone,
    last_operation_run_id bigint,
    create_time timestamp with time zone DEFAULT now() NOT NULL,
    update_time timestamp with time zone DEFAULT now() NOT NULL,
    caller text NOT NULL,
    request_id text,
    request_digest bytea,
    CONSTRAINT sync_schedule_next_slot_unless_paused CHECK (((next_slot_time IS NULL) = paused))
);
ALTER TABLE public.sync_schedule ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.sync_schedule_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.schedule (
    id bigint DEFAULT nextval('public.sync_schedule_id_seq'::regclass) NOT NULL,
    workspace_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    display_name text NOT NULL,
    cron text NOT NULL,
    time_zone text NOT NULL,
    paused boolean NOT NULL,
    next_slot_time timestamp with time zone,
    last_slot_time timestamp with time zone,
    last_operation_run_id bigint,
    create_time timestamp with time zone DEFAULT now() NOT NULL,
    update_time timestamp with time zone DEFAULT now() NOT NULL,
    details jsonb NOT NULL,
    CONSTRAINT schedule_next_slot_unless_paused CHECK (((next_slot_time IS NULL) = paused))
);
CREATE TABLE public.schedule_due (
    schedule_id bigint NOT NULL,
    slot_time timestamp with time zone NOT NULL,
    operation_run_id bigint,
    create_time timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.schedule_slot (
    sync_schedule_id bigint NOT NULL,
    slot_time timestamp with time zone NOT NULL,
    operation_run_id bigint,
    create_time timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.version_element (
    item_id bigint NOT NULL,
    version integer NOT NULL,
    ordinal integer NOT NULL,
    collection text NOT NULL,
    parent_id text NOT NULL,
    payload bytea NOT NULL,
    CONSTRAINT version_element_from_zero CHECK ((ordinal >= 0))
);
ALTER TABLE ONLY public.coverage
    ADD CONSTRAINT coverage_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.item
    ADD CONSTRAINT item_identity UNIQUE (workspace_id, tenant_id, type, external_id);
ALTER TABLE ONLY public.item
    ADD CONSTRAINT item_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.item_version
    ADD CONSTRAINT item_version_pkey PRIMARY KEY (item_id, version);
ALTER TABLE ONLY public.answered_request
    ADD CONSTRAINT request_answered_once UNIQUE NULLS NOT DISTINCT (workspace_id, service, request_id);
ALTER TABLE ONLY public.schedule_due
    ADD CONSTRAINT schedule_due_once PRIMARY KEY (schedule_id, slot_time);
ALTER TABLE ONLY public.schedule
    ADD CONSTRAINT schedule_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schedule_slot
    ADD CONSTRAINT schedule_slot_once PRIMARY KEY (sync_schedule_id, slot_time);
ALTER TABLE ONLY public.sync_schedule
    ADD CONSTRAINT sync_schedule_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sync_schedule
    ADD CONSTRAINT sync_schedule_request UNIQUE (workspace_id, caller, request_id);
ALTER TABLE ONLY public.version_element
    ADD CONSTRAINT version_element_pkey PRIMARY KEY (item_id, version, collection, parent_id, ordinal);
CREATE INDEX coverage_latest ON public.coverage USING btree (workspace_id, tenant_id, type, id DESC);
CREATE INDEX coverage_of_run ON public.coverage USING btree (operation_run_id, type, id DESC);
CREATE UNIQUE INDEX coverage_one_open_read ON public.coverage USING btree (tenant_id, type) WHERE (end_time IS NULL);
CREATE INDEX item_present ON public.item USING btree (workspace_id, tenant_id, type, external_id) WHERE (removed_time IS NULL);
CREATE INDEX schedule_by_next_slot ON public.schedule USING btree (next_slot_time) WHERE (next_slot_time IS NOT NULL);
CREATE INDEX schedule_due_without_run ON public.schedule_due USING btree (create_time) WHERE (operation_run_id IS NULL);
CREATE INDEX schedule_of_tenant ON public.schedule USING btree (workspace_id, tenant_id, id);
CREATE INDEX schedule_slot_without_run ON public.schedule_slot USING btree (create_time) WHERE (operation_run_id IS NULL);
CREATE INDEX sync_schedule_due ON public.sync_schedule USING btree (next_slot_time) WHERE (next_slot_time IS NOT NULL);
CREATE INDEX sync_schedule_of_tenant ON public.sync_schedule USING btree (workspace_id, tenant_id, id);
CREATE TRIGGER copy_new_request AFTER UPDATE OF answer ON public.answered_request FOR EACH ROW EXECUTE FUNCTION public.copy_new_request();
CREATE TRIGGER copy_new_schedule AFTER INSERT OR DELETE OR UPDATE ON public.schedule FOR EACH ROW EXECUTE FUNCTION public.copy_new_schedule();
CREATE TRIGGER copy_new_slot AFTER INSERT OR DELETE OR UPDATE ON public.schedule_due FOR EACH ROW EXECUTE FUNCTION public.copy_new_slot();
CREATE TRIGGER copy_old_schedule AFTER INSERT OR DELETE OR UPDATE ON public.sync_schedule FOR EACH ROW EXECUTE FUNCTION public.copy_old_schedule();
CREATE TRIGGER copy_old_slot AFTER INSERT OR DELETE OR UPDATE ON public.schedule_slot FOR EACH ROW EXECUTE FUNCTION public.copy_old_slot();
ALTER TABLE ONLY public.item_version
    ADD CONSTRAINT item_version_item_id_fkey FOREIGN KEY (item_id) REFERENCES public.item(id);
ALTER TABLE ONLY public.schedule_due
    ADD CONSTRAINT schedule_due_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.schedule_slot
    ADD CONSTRAINT schedule_slot_sync_schedule_id_fkey FOREIGN KEY (sync_schedule_id) REFERENCES public.sync_schedule(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.version_element
    ADD CONSTRAINT version_element_item_id_version_fkey FOREIGN KEY (item_id, version) REFERENCES public.item_version(item_id, version);
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.answered_request TO inventory_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.coverage TO inventory_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.item TO inventory_app;
GRANT SELECT,INSERT ON TABLE public.item_version TO inventory_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sync_schedule TO inventory_app;
GRANT USAGE ON SEQUENCE public.sync_schedule_id_seq TO inventory_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.schedule TO inventory_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.schedule_due TO inventory_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.schedule_slot TO inventory_app;
GRANT SELECT,INSERT ON TABLE public.version_element TO inventory_app;
