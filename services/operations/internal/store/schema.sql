CREATE FUNCTION public.run_is_guarded() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
	if old.status = 'completed' then
		raise exception 'run % is completed and never changes', old.id
			using errcode = 'check_violation', constraint = 'run_completed_is_immutable', table = 'operation_runs';
	end if;
	if new.lease_epoch < old.lease_epoch then
		raise exception 'the epoch of run % never falls', old.id
			using errcode = 'check_violation', constraint = 'run_epoch_never_falls', table = 'operation_runs';
	end if;
	return new;
end $$;
CREATE FUNCTION public.run_labels_its_reasons() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
	insert into run_label (workspace_id, key, value, created_at, run_id)
	select distinct new.workspace_id, 'run.reason_code', f ->> 'reason_code', new.created_at, new.id
	from jsonb_array_elements(new.failure_summary) f
	where octet_length(f ->> 'reason_code') <= 256 -- what is longer is no code, and too much for an index
	on conflict do nothing;
	return null;
end $$;
CREATE FUNCTION public.run_takes_its_own_along() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
	delete from run_event using gone where run_id = gone.id;
	delete from run_lease using gone where run_id = gone.id;
	delete from run_request using gone where run_id = gone.id;
	delete from run_label using gone where run_id = gone.id;
	return null;
end $$;
CREATE TABLE public.operation_runs (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    tenant_id bigint,
    user_id bigint,
    initiator_name text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    outcome text NOT NULL,
    run_identity_hash bytea NOT NULL,
    summary_counts jsonb DEFAULT '{}'::jsonb NOT NULL,
    failure_summary jsonb DEFAULT '[]'::jsonb NOT NULL,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    started_at timestamp with time zone,
    completed_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone,
    lease_epoch bigint DEFAULT 0 NOT NULL,
    released_epoch bigint,
    cancel_requested_at timestamp with time zone,
    cancel_requested_by text,
    cancel_reason text,
    attempt integer DEFAULT 0 NOT NULL,
    max_attempts integer NOT NULL,
    retry_of bigint,
    retry_number integer DEFAULT 0 NOT NULL,
    parent_run_id bigint,
    traceparent text DEFAULT ''::text NOT NULL,
    origin text DEFAULT 'live'::text NOT NULL,
    completion_digest bytea,
    event_count integer DEFAULT 0 NOT NULL,
    CONSTRAINT run_attempts_in_range CHECK ((((attempt >= 0) AND (attempt <= max_attempts)) AND (max_attempts >= 1))),
    CONSTRAINT run_belongs_to_a_workspace CHECK ((workspace_id > 0)),
    CONSTRAINT run_cancel_has_an_asker CHECK (((cancel_requested_at IS NULL) = (cancel_requested_by IS NULL))),
    CONSTRAINT run_context_is_an_object CHECK ((jsonb_typeof(context) = 'object'::text)),
    CONSTRAINT run_counts_are_an_object CHECK ((jsonb_typeof(summary_counts) = 'object'::text)),
    CONSTRAINT run_digest_only_when_completed CHECK (((completion_digest IS NULL) OR (status = 'completed'::text))),
    CONSTRAINT run_ended_iff_completed CHECK (((completed_at IS NOT NULL) = (status = 'completed'::text))),
    CONSTRAINT run_epoch_in_range CHECK (((lease_epoch >= 0) AND COALESCE(((released_epoch >= 1) AND (released_epoch <= (lease_epoch - 1))), true))),
    CONSTRAINT run_failures_are_a_list CHECK ((jsonb_typeof(failure_summary) = 'array'::text)),
    CONSTRAINT run_hash_is_sha256 CHECK ((octet_length(run_identity_hash) = 32)),
    CONSTRAINT run_origin_is_known CHECK ((origin = ANY (ARRAY['live'::text, 'legacy'::text]))),
    CONSTRAINT run_outcome_is_known CHECK ((outcome = ANY (ARRAY['pending'::text, 'succeeded'::text, 'partially_succeeded'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT run_pending_iff_active CHECK (((outcome = 'pending'::text) = (status <> 'completed'::text))),
    CONSTRAINT run_queued_is_not_cancelling CHECK (((status <> 'queued'::text) OR (cancel_requested_at IS NULL))),
    CONSTRAINT run_queued_since_when CHECK (((status <> 'queued'::text) OR (queued_at IS NOT NULL) OR (origin = 'legacy'::text))),
    CONSTRAINT run_released_while_queued CHECK (((released_epoch IS NULL) OR (status = 'queued'::text))),
    CONSTRAINT run_retry_has_an_original CHECK ((((retry_of IS NULL) = (retry_number = 0)) AND (retry_number >= 0))),
    CONSTRAINT run_running_has_an_attempt CHECK (((status <> 'running'::text) OR ((attempt >= 1) AND (lease_epoch >= 1)) OR (origin = 'legacy'::text))),
    CONSTRAINT run_running_has_begun CHECK (((status <> 'running'::text) OR (started_at IS NOT NULL) OR (origin = 'legacy'::text))),
    CONSTRAINT run_status_is_known CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'completed'::text]))),
    CONSTRAINT run_times_are_in_order CHECK (((origin = 'legacy'::text) OR (COALESCE((started_at >= created_at), true) AND COALESCE((completed_at >= COALESCE(started_at, created_at)), true)))),
    CONSTRAINT run_type_is_an_underscore_name CHECK ((type ~ '^[a-z]+(_[a-z]+)*$'::text))
)
WITH (fillfactor='85', autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_analyze_scale_factor='0.02');
ALTER TABLE public.operation_runs ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.operation_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.retention_status (
    type text NOT NULL,
    last_pass_at timestamp with time zone NOT NULL,
    last_pass_took interval,
    last_removed bigint DEFAULT 0 NOT NULL,
    removed bigint DEFAULT 0 NOT NULL,
    last_error text DEFAULT ''::text NOT NULL,
    CONSTRAINT retention_ended_or_says_why CHECK (((last_pass_took IS NOT NULL) OR (last_error <> ''::text)))
);
CREATE TABLE public.run_event (
    run_id bigint NOT NULL,
    sequence integer NOT NULL,
    event_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    status text NOT NULL,
    outcome text NOT NULL,
    lease_epoch bigint NOT NULL,
    attempt integer NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id(),
    id bigint,
    CONSTRAINT event_detail_is_an_object CHECK ((jsonb_typeof(detail) = 'object'::text)),
    CONSTRAINT event_sequence_from_one CHECK ((sequence >= 1))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_vacuum_scale_factor='0.02');
CREATE SEQUENCE public.run_event_id
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_event_id OWNED BY public.run_event.id;
CREATE TABLE public.run_label (
    workspace_id bigint NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    run_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_vacuum_scale_factor='0.02');
CREATE TABLE public.run_lease (
    run_id bigint NOT NULL,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    summary_counts jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT lease_counts_are_an_object CHECK ((jsonb_typeof(summary_counts) = 'object'::text)),
    CONSTRAINT lease_has_a_holder CHECK ((holder <> ''::text))
)
WITH (fillfactor='30', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='2000');
CREATE VIEW public.run_measure AS
 SELECT e.txid,
    r.workspace_id,
    r.type,
    r.completed_at,
    m.measure,
    m.key
   FROM ((public.run_event e
     JOIN public.operation_runs r ON ((r.id = e.run_id)))
     CROSS JOIN LATERAL ( SELECT 'outcome'::text AS measure,
            r.outcome AS key
        UNION ALL
         SELECT 'duration'::text,
            ((ceil((ln(GREATEST(((EXTRACT(epoch FROM (r.completed_at - r.started_at)))::double precision * ('1000000'::numeric)::double precision), (1)::double precision)) / ln((1.2)::double precision))))::integer)::text AS ceil
          WHERE (r.started_at IS NOT NULL)
        UNION ALL
         SELECT 'reason'::text,
            f.reason
           FROM ( SELECT DISTINCT "left"((j.value ->> 'reason_code'::text), 64) AS reason
                   FROM jsonb_array_elements(r.failure_summary) j(value)) f
          WHERE ((r.failure_summary <> '[]'::jsonb) AND (f.reason <> ''::text))) m)
  WHERE (e.kind = 'completed'::text);
CREATE TABLE public.run_request (
    workspace_id bigint NOT NULL,
    caller text NOT NULL,
    request_id text NOT NULL,
    run_id bigint NOT NULL,
    digest bytea NOT NULL,
    started boolean NOT NULL,
    CONSTRAINT request_id_is_said CHECK ((request_id <> ''::text))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_vacuum_scale_factor='0.02');
CREATE TABLE public.run_stat (
    workspace_id bigint NOT NULL,
    grain text NOT NULL,
    measure text NOT NULL,
    start_at timestamp with time zone NOT NULL,
    type text NOT NULL,
    key text NOT NULL,
    runs bigint NOT NULL,
    CONSTRAINT stat_counts_something CHECK ((runs > 0)),
    CONSTRAINT stat_grain_is_known CHECK ((grain = ANY (ARRAY['hour'::text, 'day'::text]))),
    CONSTRAINT stat_measure_is_known CHECK ((measure = ANY (ARRAY['outcome'::text, 'duration'::text, 'reason'::text])))
)
WITH (fillfactor='70');
CREATE TABLE public.run_stat_fold (
    single boolean DEFAULT true NOT NULL,
    seen pg_snapshot NOT NULL,
    folded_at timestamp with time zone NOT NULL,
    CONSTRAINT fold_is_one_row CHECK (single)
);
CREATE TABLE public.takeover (
    single boolean DEFAULT true NOT NULL,
    takeover_id uuid NOT NULL,
    CONSTRAINT takeover_is_one_row CHECK (single)
);
CREATE TABLE public.takeover_block (
    source text NOT NULL,
    last_legacy_id bigint NOT NULL,
    base bigint NOT NULL,
    CONSTRAINT block_ids_are_positive CHECK (((base >= 0) AND (last_legacy_id >= 0)))
);
CREATE TABLE public.workspace_hold (
    workspace_id bigint NOT NULL,
    starts_allowed boolean DEFAULT false NOT NULL
);
ALTER TABLE ONLY public.run_event ALTER COLUMN id SET DEFAULT nextval('public.run_event_id'::regclass);
ALTER TABLE ONLY public.operation_runs
    ADD CONSTRAINT operation_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.retention_status
    ADD CONSTRAINT retention_status_pkey PRIMARY KEY (type);
ALTER TABLE ONLY public.run_event
    ADD CONSTRAINT run_event_pkey PRIMARY KEY (run_id, sequence);
ALTER TABLE ONLY public.run_label
    ADD CONSTRAINT run_label_pkey PRIMARY KEY (workspace_id, key, value, created_at, run_id);
ALTER TABLE ONLY public.run_lease
    ADD CONSTRAINT run_lease_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY public.run_request
    ADD CONSTRAINT run_request_pkey PRIMARY KEY (workspace_id, caller, request_id);
ALTER TABLE ONLY public.run_stat_fold
    ADD CONSTRAINT run_stat_fold_pkey PRIMARY KEY (single);
ALTER TABLE ONLY public.run_stat
    ADD CONSTRAINT run_stat_pkey PRIMARY KEY (workspace_id, grain, measure, start_at, type, key);
ALTER TABLE ONLY public.takeover_block
    ADD CONSTRAINT takeover_block_pkey PRIMARY KEY (source);
ALTER TABLE ONLY public.takeover
    ADD CONSTRAINT takeover_pkey PRIMARY KEY (single);
ALTER TABLE ONLY public.workspace_hold
    ADD CONSTRAINT workspace_hold_pkey PRIMARY KEY (workspace_id);
CREATE INDEX event_by_transaction ON public.run_event USING btree (txid);
CREATE UNIQUE INDEX event_one_late_completion_per_epoch ON public.run_event USING btree (run_id, lease_epoch) WHERE (kind = 'late_completion_rejected'::text);
CREATE INDEX label_by_run ON public.run_label USING btree (run_id);
CREATE INDEX request_by_run ON public.run_request USING btree (run_id);
CREATE INDEX run_active ON public.operation_runs USING btree (workspace_id, status, created_at DESC, id DESC) WHERE (status <> 'completed'::text);
CREATE INDEX run_by_bad_outcome ON public.operation_runs USING btree (workspace_id, outcome, created_at DESC, id DESC) WHERE (outcome = ANY (ARRAY['partially_succeeded'::text, 'failed'::text, 'cancelled'::text]));
CREATE INDEX run_by_completion ON public.operation_runs USING btree (workspace_id, completed_at DESC, id DESC) WHERE (status = 'completed'::text);
CREATE INDEX run_by_initiator ON public.operation_runs USING btree (workspace_id, initiator_name, created_at DESC, id DESC) WHERE (status = 'completed'::text);
CREATE INDEX run_by_legacy_id ON public.operation_runs USING btree (workspace_id, (((context -> 'legacy'::text) ->> 'id'::text)), created_at DESC, id DESC) WHERE (origin = 'legacy'::text);
CREATE INDEX run_by_legacy_source ON public.operation_runs USING btree (workspace_id, (((context -> 'legacy'::text) ->> 'source'::text)), created_at DESC, id DESC) WHERE (origin = 'legacy'::text);
CREATE INDEX run_by_original ON public.operation_runs USING btree (retry_of, created_at DESC, id DESC) WHERE (retry_of IS NOT NULL);
CREATE INDEX run_by_parent ON public.operation_runs USING btree (parent_run_id, created_at DESC, id DESC) WHERE (parent_run_id IS NOT NULL);
CREATE INDEX run_by_tenant ON public.operation_runs USING btree (workspace_id, tenant_id, created_at DESC, id DESC) WHERE (status = 'completed'::text);
CREATE INDEX run_by_trace ON public.operation_runs USING btree (substr(traceparent, 4, 32), created_at DESC, id DESC) WHERE ((status = 'completed'::text) AND (traceparent <> ''::text));
CREATE INDEX run_by_type ON public.operation_runs USING btree (workspace_id, type, created_at DESC, id DESC) WHERE (status = 'completed'::text);
CREATE INDEX run_by_user ON public.operation_runs USING btree (workspace_id, user_id, created_at DESC, id DESC) WHERE (user_id IS NOT NULL);
CREATE INDEX run_cancelling ON public.operation_runs USING btree (cancel_requested_at) WHERE ((status = 'running'::text) AND (cancel_requested_at IS NOT NULL) AND (origin = 'live'::text));
CREATE INDEX run_completed ON public.operation_runs USING btree (workspace_id, created_at DESC, id DESC) WHERE (status = 'completed'::text);
CREATE INDEX run_completed_by_identity ON public.operation_runs USING btree (substr(run_identity_hash, 1, 8), completed_at) WHERE (status = 'completed'::text);
CREATE UNIQUE INDEX run_one_active_per_identity ON public.operation_runs USING btree (workspace_id, type, run_identity_hash) WHERE ((status <> 'completed'::text) AND (origin = 'live'::text));
CREATE INDEX run_queued ON public.operation_runs USING btree (type, queued_at, id) WHERE ((status = 'queued'::text) AND (origin = 'live'::text));
CREATE INDEX run_unusual ON public.operation_runs USING btree (workspace_id, created_at DESC, id DESC) WHERE ((started_at < created_at) OR (completed_at < created_at) OR (completed_at < started_at) OR ((COALESCE(completed_at, started_at) - created_at) > '01:00:00'::interval));
CREATE INDEX run_unusual_by_completion ON public.operation_runs USING btree (workspace_id, completed_at DESC, id DESC) WHERE ((status = 'completed'::text) AND ((started_at < created_at) OR (completed_at < created_at) OR (completed_at < started_at) OR ((COALESCE(completed_at, started_at) - created_at) > '01:00:00'::interval)));
CREATE INDEX run_with_failures ON public.operation_runs USING btree (workspace_id, created_at DESC, id DESC) WHERE (failure_summary <> '[]'::jsonb);
CREATE TRIGGER run_is_guarded BEFORE UPDATE ON public.operation_runs FOR EACH ROW EXECUTE FUNCTION public.run_is_guarded();
CREATE TRIGGER run_labels_its_reasons AFTER INSERT OR UPDATE OF failure_summary ON public.operation_runs FOR EACH ROW WHEN ((new.failure_summary <> '[]'::jsonb)) EXECUTE FUNCTION public.run_labels_its_reasons();
CREATE TRIGGER run_takes_its_own_along AFTER DELETE ON public.operation_runs REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.run_takes_its_own_along();
GRANT SELECT,INSERT,UPDATE ON TABLE public.operation_runs TO operations_app;
GRANT SELECT ON TABLE public.retention_status TO operations_app;
GRANT SELECT,INSERT ON TABLE public.run_event TO operations_app;
GRANT USAGE ON SEQUENCE public.run_event_id TO operations_app;
GRANT SELECT,INSERT ON TABLE public.run_label TO operations_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.run_lease TO operations_app;
GRANT SELECT ON TABLE public.run_measure TO operations_app;
GRANT SELECT,INSERT ON TABLE public.run_request TO operations_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.run_stat TO operations_app;
GRANT SELECT,UPDATE ON TABLE public.run_stat_fold TO operations_app;
GRANT SELECT ON TABLE public.workspace_hold TO operations_app;
