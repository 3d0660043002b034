package rpc_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

// A process that is told to stop while it still starts has done nothing wrong.
func TestBeingStoppedBeforeServingIsNoFailure(t *testing.T) {
	t.Parallel()
	ca, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, ca.Issue("notes"))
	for range 100 {
		srv, err := rpc.NewServer("notes", rpc.ServerConfig{
			TLSCert: ca.CertFile("notes"), TLSKey: ca.KeyFile("notes"), TLSCA: ca.RootFile(),
		}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, srv.ServeOn(ctx, bufconn.Listen(1<<10), nil))
	}
}
