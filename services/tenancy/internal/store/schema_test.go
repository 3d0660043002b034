package store_test

import (
	"context"
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
)

var update = flag.Bool("update", false, "write schema.sql anew")

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

func migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, store.Migrations())
}

// schema.sql is what the migrations add up to, to be read and reviewed.
func TestSchemaSnapshot(t *testing.T) {
	t.Parallel()
	pgtest.MatchSchema(t, pgtest.New(t, "tenancy", migrate), "schema.sql", *update)
}

// The app role neither changes the schema nor rewrites the audit trail.
func TestAppRoleIsLimited(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "tenancy", migrate)
	for _, forbidden := range []string{
		"create table t (id int)",
		"alter table tenant add column x int",
		"drop table tenant",
		"truncate audit_event",
		"update audit_event set action = 'nothing'",
		"delete from audit_event",
		"delete from workspace",
		"delete from app_user",
		"delete from api_token",
		"delete from answered_request",
		"delete from imported_member",
		"delete from deleted_tenant",
		"update goose_db_version set version_id = 99",
	} {
		_, err := db.Pool.Exec(t.Context(), forbidden)
		require.Equal(t, sqlstate.InsufficientPrivilege, sqlstate.Of(err), "%s: %v", forbidden, err)
	}
}

// Rows that must not be are refused by the database itself.
func TestImpossibleRows(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "tenancy", migrate)
	_, err := db.Pool.Exec(t.Context(), `
		insert into workspace (display_name) values ('a'), ('b');
		insert into app_user (home_workspace_id, display_name) values (1, 'u');
		insert into tenant (workspace_id, display_name, directory_id, national_cloud)
			values (1, 't', '9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90', 'global')`)
	require.NoError(t, err)
	tests := map[string]string{
		"workspace_has_a_name":                     `insert into workspace (display_name) values ('')`,
		"workspace_named_once":                     `insert into workspace (display_name) values ('a')`,
		"member_role_exists":                       `insert into member values (1, 1, 'admin')`,
		"member_is_a_user":                         `insert into member values (1, 99, 'owner')`,
		"tenant_directory_is_a_guid":               `insert into tenant (workspace_id, display_name, directory_id, national_cloud) values (1, 'x', '9A1F6C1E-5A3B-4C57-8D7E-0F2B4C6D8E90', 'global')`,
		"tenant_directory_once_in_workspace":       `insert into tenant (workspace_id, display_name, directory_id, national_cloud) values (1, 'x', '9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90', 'global')`,
		"tenant_cloud_exists":                      `insert into tenant (workspace_id, display_name, directory_id, national_cloud) values (2, 'x', '9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90', 'moon')`,
		"connection_dies_with_its_tenant":          `insert into graph_connection (workspace_id, tenant_id, client_id, secret_sealed) values (2, 1, 'c', 'x')`,
		"connection_has_a_secret":                  `insert into graph_connection (workspace_id, tenant_id, client_id, secret_sealed) values (1, 1, 'c', '')`,
		"user_made_here_is_claimed":                `insert into app_user (home_workspace_id, display_name, claimed_at) values (1, 'u', null)`,
		"user_imported_is_claimed_for_an_identity": `insert into app_user (legacy_id, display_name) values (1, 'u')`,
		"user_identity_is_whole":                   `update app_user set identity_issuer = 'i' where id = 1`,
		"user_identity_is_short":                   `update app_user set identity_issuer = '', identity_subject = 's' where id = 1`,
		"imported_member_is_a_user":                `insert into imported_member (workspace_id, user_id) values (1, 99)`,
		"token_hash_is_sha256":                     `insert into api_token (workspace_id, user_id, display_name, key_id, secret_hash, max_role, expires_at) values (1, 1, 't', 'k', 'plain', 'owner', now())`,
		"token_expires_within_a_year":              `insert into api_token (workspace_id, user_id, display_name, key_id, secret_hash, max_role, expires_at) values (1, 1, 't', 'k', sha256('x'), 'owner', now() + interval '400 days')`,
	}
	for constraint, statement := range tests {
		_, err := db.Pool.Exec(t.Context(), statement)
		require.Equal(t, constraint, pg.Constraint(err), "%v", err)
	}
	// The same directory in two workspaces is two tenants.
	_, err = db.Pool.Exec(t.Context(), `insert into tenant (workspace_id, display_name, directory_id, national_cloud)
		values (2, 't', '9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90', 'global')`)
	require.NoError(t, err)
}
