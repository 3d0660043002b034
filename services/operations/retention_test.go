package operations_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// Only the owner role may remove runs. Without its URL the service works, warns once at
// its start, and makes no pass of retention.
func TestWithoutAnOwnerRetentionIsOff(t *testing.T) {
	t.Parallel()
	for name, owner := range map[string]bool{"without the owner": false, "with the owner": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			cfg := operations.Service.Defaults()
			cfg.Server.Listen, cfg.Server.AdminListen = "127.0.0.1:0", rpctest.FreeAddress(t)
			cfg.Server.TLSCert, cfg.Server.TLSKey, cfg.Server.TLSCA = w.ca.CertFile(operations.Name), w.ca.KeyFile(operations.Name), w.ca.RootFile()
			cfg.Database.URL, cfg.RetainEvery, cfg.FoldEvery = w.db.URL, time.Millisecond, time.Millisecond
			if owner {
				cfg.Database.OwnerURL = w.db.OwnerURL
			}
			var logged bytes.Buffer // read after Run has returned
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- operations.Service.Run(ctx, cfg, slog.New(slog.NewTextHandler(&logged, nil))) }()

			// The loops of statistics and retention begin together. A transaction of the
			// first is the sign that they began.
			w.eventually(t, "select count(*) > 0 from pg_stat_activity where datname = current_database() and query like '-- statistics.%'")
			passes := "select count(*) > 0 from retention_status"
			if owner {
				w.eventually(t, passes)
			}
			stop()
			require.NoError(t, <-ended)
			require.Equal(t, owner, w.ask(t, passes))
			require.Equal(t, !owner, strings.Count(logged.String(), "retention is off") == 1, logged.String())
		})
	}
}

// eventually waits until a query returns true.
func (w *world) eventually(t *testing.T, query string) {
	t.Helper()
	require.Eventually(t, func() bool { return w.ask(t, query) }, 20*time.Second, 5*time.Millisecond, query)
}

func (w *world) ask(t *testing.T, query string) (yes bool) {
	t.Helper()
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), query).Scan(&yes))
	return yes
}
