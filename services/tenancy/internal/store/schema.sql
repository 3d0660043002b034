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
CREATE TABLE public.api_token (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    user_id bigint NOT NULL,
    display_name text NOT NULL,
    key_id text NOT NULL,
    secret_hash bytea NOT NULL,
    max_role text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT token_expires_within_a_year CHECK ((expires_at <= (created_at + '366 days'::interval))),
    CONSTRAINT token_has_a_name CHECK (((char_length(display_name) >= 1) AND (char_length(display_name) <= 200))),
    CONSTRAINT token_hash_is_sha256 CHECK ((octet_length(secret_hash) = 32)),
    CONSTRAINT token_role_exists CHECK ((max_role = ANY (ARRAY['readonly'::text, 'operator'::text, 'manager'::text, 'owner'::text])))
);
ALTER TABLE public.api_token ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.api_token_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.app_user (
    id bigint NOT NULL,
    home_workspace_id bigint,
    display_name text NOT NULL,
    email text DEFAULT ''::text NOT NULL,
    legacy_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    claimed_at timestamp with time zone DEFAULT now(),
    identity_issuer text,
    identity_subject text,
    CONSTRAINT user_email_is_short CHECK ((char_length(email) <= 320)),
    CONSTRAINT user_has_a_name CHECK (((char_length(display_name) >= 1) AND (char_length(display_name) <= 200))),
    CONSTRAINT user_identity_is_short CHECK ((((char_length(identity_issuer) >= 1) AND (char_length(identity_issuer) <= 255)) AND ((char_length(identity_subject) >= 1) AND (char_length(identity_subject) <= 255)))),
    CONSTRAINT user_identity_is_whole CHECK (((identity_issuer IS NULL) = (identity_subject IS NULL))),
    CONSTRAINT user_imported_is_claimed_for_an_identity CHECK (((legacy_id IS NULL) OR ((claimed_at IS NOT NULL) = (identity_issuer IS NOT NULL)))),
    CONSTRAINT user_made_here_is_claimed CHECK (((legacy_id IS NOT NULL) OR ((claimed_at IS NOT NULL) AND (home_workspace_id IS NOT NULL))))
);
COMMENT ON COLUMN public.app_user.home_workspace_id IS 'the workspace that made the user, or claimed the imported one: its owners may add them again after they left';
COMMENT ON COLUMN public.app_user.claimed_at IS 'since when somebody may act as the user; null for one who was imported and not claimed';
ALTER TABLE public.app_user ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.app_user_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.audit_event (
    id bigint NOT NULL,
    workspace_id bigint,
    happened_at timestamp with time zone DEFAULT now() NOT NULL,
    service text NOT NULL,
    user_id bigint,
    user_name text DEFAULT ''::text NOT NULL,
    action text NOT NULL,
    object_kind text NOT NULL,
    object_id bigint NOT NULL,
    request_id text DEFAULT ''::text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL
);
COMMENT ON COLUMN public.audit_event.workspace_id IS 'null for what is about no workspace yet';
ALTER TABLE public.audit_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.deleted_tenant (
    legacy_id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    deleted_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.graph_connection (
    workspace_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    client_id text NOT NULL,
    secret_sealed bytea NOT NULL,
    secret_set_at timestamp with time zone DEFAULT now() NOT NULL,
    secret_expires_at timestamp with time zone,
    CONSTRAINT connection_has_a_client CHECK (((char_length(client_id) >= 1) AND (char_length(client_id) <= 128))),
    CONSTRAINT connection_has_a_secret CHECK ((octet_length(secret_sealed) > 0))
);
COMMENT ON COLUMN public.graph_connection.secret_sealed IS 'AES-256-GCM under a master key, bound to this row: the same bytes do not open in another';
CREATE TABLE public.imported_member (
    workspace_id bigint NOT NULL,
    user_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.member (
    workspace_id bigint NOT NULL,
    user_id bigint NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT member_role_exists CHECK ((role = ANY (ARRAY['readonly'::text, 'operator'::text, 'manager'::text, 'owner'::text])))
);
CREATE TABLE public.tenant (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    display_name text NOT NULL,
    directory_id text NOT NULL,
    primary_domain text DEFAULT ''::text NOT NULL,
    national_cloud text NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    legacy_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT tenant_cloud_exists CHECK ((national_cloud = ANY (ARRAY['global'::text, 'us_gov'::text, 'us_gov_dod'::text, 'china'::text]))),
    CONSTRAINT tenant_directory_is_a_guid CHECK ((directory_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'::text)),
    CONSTRAINT tenant_domain_is_short CHECK ((char_length(primary_domain) <= 253)),
    CONSTRAINT tenant_has_a_name CHECK (((char_length(display_name) >= 1) AND (char_length(display_name) <= 200))),
    CONSTRAINT tenant_revision_counts CHECK ((revision > 0))
);
ALTER TABLE public.tenant ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tenant_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.workspace (
    id bigint NOT NULL,
    display_name text NOT NULL,
    legacy_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspace_has_a_name CHECK (((char_length(display_name) >= 1) AND (char_length(display_name) <= 200)))
);
ALTER TABLE public.workspace ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.workspace_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY public.graph_connection
    ADD CONSTRAINT connection_once_per_tenant PRIMARY KEY (workspace_id, tenant_id);
ALTER TABLE ONLY public.deleted_tenant
    ADD CONSTRAINT deleted_tenant_taken_over_once PRIMARY KEY (legacy_id);
ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT event_has_one_id PRIMARY KEY (id);
ALTER TABLE ONLY public.imported_member
    ADD CONSTRAINT imported_member_once PRIMARY KEY (workspace_id, user_id);
ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_once_per_workspace PRIMARY KEY (workspace_id, user_id);
ALTER TABLE ONLY public.answered_request
    ADD CONSTRAINT request_answered_once UNIQUE NULLS NOT DISTINCT (workspace_id, service, request_id);
ALTER TABLE ONLY public.tenant
    ADD CONSTRAINT tenant_directory_once_in_workspace UNIQUE (workspace_id, directory_id);
ALTER TABLE ONLY public.tenant
    ADD CONSTRAINT tenant_has_one_id PRIMARY KEY (id);
ALTER TABLE ONLY public.tenant
    ADD CONSTRAINT tenant_is_found_by_workspace UNIQUE (workspace_id, id);
ALTER TABLE ONLY public.tenant
    ADD CONSTRAINT tenant_named_once_in_workspace UNIQUE (workspace_id, display_name);
ALTER TABLE ONLY public.tenant
    ADD CONSTRAINT tenant_taken_over_once UNIQUE (legacy_id);
ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT token_has_one_id PRIMARY KEY (id);
ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT token_is_found_by_workspace UNIQUE (workspace_id, id);
ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT token_key_once UNIQUE (key_id);
ALTER TABLE ONLY public.app_user
    ADD CONSTRAINT user_has_one_id PRIMARY KEY (id);
ALTER TABLE ONLY public.app_user
    ADD CONSTRAINT user_identity_once UNIQUE (identity_issuer, identity_subject);
ALTER TABLE ONLY public.app_user
    ADD CONSTRAINT user_taken_over_once UNIQUE (legacy_id);
ALTER TABLE ONLY public.workspace
    ADD CONSTRAINT workspace_has_one_id PRIMARY KEY (id);
ALTER TABLE ONLY public.workspace
    ADD CONSTRAINT workspace_named_once UNIQUE (display_name);
ALTER TABLE ONLY public.workspace
    ADD CONSTRAINT workspace_taken_over_once UNIQUE (legacy_id);
CREATE INDEX event_by_workspace ON public.audit_event USING btree (workspace_id, id);
CREATE INDEX member_by_user ON public.member USING btree (user_id);
CREATE INDEX token_by_user ON public.api_token USING btree (workspace_id, user_id, id);
ALTER TABLE ONLY public.graph_connection
    ADD CONSTRAINT connection_dies_with_its_tenant FOREIGN KEY (workspace_id, tenant_id) REFERENCES public.tenant(workspace_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.deleted_tenant
    ADD CONSTRAINT deleted_tenant_was_of_a_workspace FOREIGN KEY (workspace_id) REFERENCES public.workspace(id);
ALTER TABLE ONLY public.imported_member
    ADD CONSTRAINT imported_member_is_a_user FOREIGN KEY (user_id) REFERENCES public.app_user(id);
ALTER TABLE ONLY public.imported_member
    ADD CONSTRAINT imported_member_is_of_a_workspace FOREIGN KEY (workspace_id) REFERENCES public.workspace(id);
ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_is_a_user FOREIGN KEY (user_id) REFERENCES public.app_user(id);
ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_is_of_a_workspace FOREIGN KEY (workspace_id) REFERENCES public.workspace(id);
ALTER TABLE ONLY public.tenant
    ADD CONSTRAINT tenant_is_of_a_workspace FOREIGN KEY (workspace_id) REFERENCES public.workspace(id);
ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT token_acts_as_a_user FOREIGN KEY (user_id) REFERENCES public.app_user(id);
ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT token_is_of_a_workspace FOREIGN KEY (workspace_id) REFERENCES public.workspace(id);
ALTER TABLE ONLY public.app_user
    ADD CONSTRAINT user_comes_from_a_workspace FOREIGN KEY (home_workspace_id) REFERENCES public.workspace(id);
GRANT SELECT,INSERT,UPDATE ON TABLE public.answered_request TO tenancy_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.api_token TO tenancy_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.app_user TO tenancy_app;
GRANT SELECT,INSERT ON TABLE public.audit_event TO tenancy_app;
GRANT SELECT,INSERT ON TABLE public.deleted_tenant TO tenancy_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.graph_connection TO tenancy_app;
GRANT SELECT,INSERT ON TABLE public.imported_member TO tenancy_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.member TO tenancy_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenant TO tenancy_app;
GRANT USAGE ON SEQUENCE public.tenant_id_seq TO tenancy_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.workspace TO tenancy_app;
