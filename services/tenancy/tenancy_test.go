package tenancy_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

// What would make secrets unsafe or unreadable ends the process before it serves.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "master.key")
	require.NoError(t, os.WriteFile(open, []byte(masterKey), 0o600))
	require.NoError(t, os.Chmod(open, 0o644))
	tests := map[string]struct {
		cfg  tenancy.Config
		want string
	}{
		"no master key":         {tenancy.Config{}, "no master key"},
		"two master keys":       {tenancy.Config{MasterKey: masterKey, MasterKeyFile: open}, "which is the master key"},
		"a key for everyone":    {tenancy.Config{MasterKeyFile: open}, "readable by everyone"},
		"a bad key":             {tenancy.Config{MasterKey: "hunter2"}, "32 bytes in base64"},
		"authority not secured": {tenancy.Config{MasterKey: masterKey, AuthorityOverride: "http://127.0.0.1:1"}, "want an https address"},
		"a bad page key":        {tenancy.Config{MasterKey: masterKey, PageKey: "x"}, "TENANCY_PAGE_KEY"},
		"no database":           {tenancy.Config{MasterKey: masterKey}, "database"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.cfg.Database.URL = "postgres://nobody@127.0.0.1:1/nothing"
			err := tenancy.Run(t.Context(), test.cfg, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
