package tenancy_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

// Settings that would make secrets unsafe or unreadable end the process before
// it serves.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "master.key")
	require.NoError(t, os.WriteFile(open, []byte(masterKey), 0o600))
	require.NoError(t, os.Chmod(open, 0o644))
	ca, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, ca.Issue(tenancy.Name))
	good := service.Config{
		Server:   rpc.ServerConfig{TLSCert: ca.CertFile(tenancy.Name), TLSKey: ca.KeyFile(tenancy.Name), TLSCA: ca.RootFile()},
		Database: pg.Config{URL: pgtest.New(t, tenancy.Name, tenancy.Service.Migrate).URL, MaxConns: 1},
	}
	badPages, noDatabase := good, good
	badPages.PageKey, noDatabase.Database.URL = "x", "postgres://nobody@127.0.0.1:1/nothing"
	tests := map[string]struct {
		cfg  tenancy.Config
		want string
	}{
		"no master key":         {tenancy.Config{Config: good}, "no master key"},
		"two master keys":       {tenancy.Config{Config: good, MasterKey: masterKey, MasterKeyFile: open}, "which is the master key"},
		"a key for everyone":    {tenancy.Config{Config: good, MasterKeyFile: open}, "readable by everyone"},
		"a bad key":             {tenancy.Config{Config: good, MasterKey: "hunter2"}, "32 bytes in base64"},
		"authority not secured": {tenancy.Config{Config: good, MasterKey: masterKey, AuthorityOverride: "http://127.0.0.1:1"}, "want an https address"},
		"a bad page key":        {tenancy.Config{Config: badPages, MasterKey: masterKey}, "TENANCY_PAGE_KEY"},
		"no database":           {tenancy.Config{Config: noDatabase, MasterKey: masterKey}, "database"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tenancy.Service.Run(t.Context(), test.cfg, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
