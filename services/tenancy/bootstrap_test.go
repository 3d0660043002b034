package tenancy_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const (
	masterKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	secret    = "canary~secret.value"
)

// office is an installation before its first command.
type office struct {
	db  *pgtest.DB
	cfg tenancy.Config
	ask tenancy.Bootstrap
	log bytes.Buffer
}

func setup(t *testing.T) *office {
	t.Helper()
	o := &office{db: pgtest.New(t, tenancy.Name, tenancy.Service.Migrate)}
	dir := t.TempDir()
	o.cfg = tenancy.Config{Config: service.Config{Database: pg.Config{URL: o.db.URL}}, MasterKey: masterKey}
	o.ask = tenancy.Bootstrap{
		Workspace: "Demo", Owner: "Ada", TokenFile: filepath.Join(dir, "token"),
		TenantName: "Fabrikam", DirectoryID: "9A1F6C1E-5A3B-4C57-8D7E-0F2B4C6D8E90",
		ClientID: "client", ClientSecretFile: filepath.Join(dir, "secret"),
	}
	write(t, o.ask.ClientSecretFile, secret+"\n")
	return o
}

func write(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

func (o *office) run(t *testing.T) {
	t.Helper()
	require.NoError(t, o.ask.Run(t.Context(), o.cfg, slog.New(slog.NewTextHandler(&o.log, nil))))
}

func (o *office) token(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(o.ask.TokenFile)
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// count runs a query that returns a number.
func (o *office) count(t *testing.T, query string) (n int) {
	t.Helper()
	require.NoError(t, o.db.Pool.QueryRow(t.Context(), query).Scan(&n))
	return n
}

func TestBootstrapTwice(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.run(t)
	first := o.token(t)
	info, err := os.Stat(o.ask.TokenFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	events := o.count(t, "select count(*) from audit_event")
	require.Equal(t, 3, events, "workspace, tenant, token")

	o.run(t)
	require.Equal(t, first, o.token(t))
	require.Equal(t, events, o.count(t, "select count(*) from audit_event"), "nothing changed")
	require.Contains(t, o.log.String(), "API token is there already")
	require.NotContains(t, o.log.String(), first)
	require.NotContains(t, o.log.String(), secret)
	require.Equal(t, 1, o.count(t, "select count(*) from tenant where directory_id = '9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90'"))
}

// A lost token is replaced, and stops working; so is one that no longer works.
func TestBootstrapReplacesTheToken(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.run(t)
	first := o.token(t)
	require.NoError(t, os.Remove(o.ask.TokenFile))
	o.run(t)
	second := o.token(t)
	require.NotEqual(t, first, second)
	require.Equal(t, 1, o.count(t, "select count(*) from api_token where revoked_at is null"))
	require.Equal(t, 2, o.count(t, "select count(*) from api_token"))

	_, err := o.db.Pool.Exec(t.Context(), "update api_token set revoked_at = now() where revoked_at is null")
	require.NoError(t, err)
	o.run(t)
	require.NotEqual(t, second, o.token(t))
	require.Equal(t, 1, o.count(t, "select count(*) from api_token where revoked_at is null"))
}

// A file that is something else is not overwritten.
func TestBootstrapKeepsForeignFiles(t *testing.T) {
	t.Parallel()
	o := setup(t)
	write(t, o.ask.TokenFile, "my notes")
	err := o.ask.Run(t.Context(), o.cfg, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "move it away")
	require.Equal(t, "my notes", o.token(t))
}

func TestBootstrapChangedSecret(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.run(t)
	const sets = "select count(*) from audit_event where action = 'graph_connection.set'"
	write(t, o.ask.ClientSecretFile, "another\n")
	o.run(t)
	require.Equal(t, 1, o.count(t, sets))
	o.run(t)
	require.Equal(t, 1, o.count(t, sets))
	// Under another master key the old secret does not open: it is set anew.
	o.cfg.MasterKey = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
	o.run(t)
	require.Equal(t, 2, o.count(t, sets))
}

func TestBootstrapWithoutTenant(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.ask.TenantName, o.ask.DirectoryID, o.ask.ClientID, o.ask.ClientSecretFile = "", "", "", ""
	o.run(t)
	require.Zero(t, o.count(t, "select count(*) from tenant"))
	o.ask.Owner = "Grace"
	require.NoError(t, os.Remove(o.ask.TokenFile))
	o.run(t)
	require.Equal(t, 2, o.count(t, "select count(*) from member where role = 'owner'"), "another owner of the same workspace")
	require.Equal(t, 1, o.count(t, "select count(*) from workspace"))
}

// An imported owner is not who gets the token, whatever their name.
func TestBootstrapPassesOverUnclaimedOwners(t *testing.T) {
	t.Parallel()
	o := setup(t)
	_, err := o.db.Pool.Exec(t.Context(), `
		insert into workspace (legacy_id, display_name) values (7, 'Demo');
		insert into app_user (legacy_id, display_name, claimed_at) values (1, 'Ada', null);
		insert into member values (1, 1, 'owner')`)
	require.NoError(t, err)
	o.run(t)
	require.Equal(t, 1, o.count(t, "select count(*) from api_token t join app_user u on u.id = t.user_id where u.legacy_id is null"))
	require.Equal(t, 1, o.count(t, "select count(*) from api_token"))
}

func TestBootstrapsAtOnce(t *testing.T) {
	t.Parallel()
	o := setup(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := o.ask.Run(t.Context(), o.cfg, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
				t.Errorf("bootstrap: %v", err)
			}
		})
	}
	group.Wait()
	require.Equal(t, 1, o.count(t, "select count(*) from workspace"))
	require.Equal(t, 1, o.count(t, "select count(*) from tenant"))
	require.Equal(t, 1, o.count(t, "select count(*) from api_token"))
}

func TestParseBootstrap(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ args, want string }{
		"enough":             {"-workspace w -owner o -token-file f", ""},
		"all":                {"-workspace w -owner o -token-file f -tenant-name t -tenant-directory-id d -client-id c -client-secret-file s", ""},
		"no owner":           {"-workspace w -token-file f", "are required"},
		"name without id":    {"-workspace w -owner o -token-file f -tenant-name t", "go together"},
		"id without secret":  {"-workspace w -owner o -token-file f -tenant-name t -tenant-directory-id d -client-id c", "go together"},
		"secret of nothing":  {"-workspace w -owner o -token-file f -client-id c -client-secret-file s", "needs a tenant"},
		"something else too": {"-workspace w -owner o -token-file f more", "not a flag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tenancy.ParseBootstrap(strings.Fields(test.args))
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

// Whoever gets hold of a dump has no secret and no token.
func TestDumpHoldsNoSecret(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.run(t)
	bin, err := server.Find()
	require.NoError(t, err)
	program := filepath.Join(bin, "pg_dump")
	if _, err := os.Stat(program); err != nil {
		t.Skip("this PostgreSQL comes without pg_dump")
	}
	dump, err := exec.CommandContext(t.Context(), program, "--inserts", "--dbname="+o.db.OwnerURL).Output()
	require.NoError(t, err)
	require.Contains(t, string(dump), "INSERT INTO public.graph_connection")
	require.Contains(t, string(dump), "INSERT INTO public.api_token")
	part := strings.Split(o.token(t), "_")
	for _, hidden := range []string{secret, part[2]} {
		require.NotContains(t, string(dump), hidden)
		require.NotContains(t, string(dump), hex.EncodeToString([]byte(hidden)))
	}
	require.Contains(t, string(dump), part[1], "the key id is there, to find the token by")
}
