package rpc_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

// A server that is to end says so first, goes on serving for its grace, then
// ends the streams, which may be opened again elsewhere.
func TestAServerSaysThatItLeavesBeforeItDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // its grace does not pass while anybody is busy
		ca, err := devca.Open(t.TempDir())
		require.NoError(t, err)
		require.NoError(t, ca.Issue("notes"))
		srv, err := rpc.NewServer("notes", rpc.ServerConfig{
			TLSCert: ca.CertFile("notes"), TLSKey: ca.KeyFile("notes"), TLSCA: ca.RootFile(), DrainGrace: 300 * time.Millisecond,
		}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		open := make(chan struct{})
		register(noteService, handlers{"Ping": ok, "WatchNotes": func(ctx context.Context, _ *dynamicpb.Message) error {
			close(open)
			<-ctx.Done()
			return ctx.Err()
		}})(srv.Registrar())
		ctx, stop := context.WithCancel(t.Context())
		w := &world{ca: ca, pipe: bufconn.Listen(1 << 16), stop: stop, ended: make(chan error, 1)}
		go func() { w.ended <- srv.ServeOn(ctx, w.pipe, nil); close(w.ended) }()
		t.Cleanup(func() { stop(); <-w.ended })

		watcher := w.dial(t, "notes", w.files(t, "inventory"))
		stream, err := watcher.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/"+noteService+"/WatchNotes")
		require.NoError(t, err)
		require.NoError(t, stream.SendMsg(note(map[string]any{"workspace_id": int64(1)})))
		require.NoError(t, stream.CloseSend())
		<-open
		conn := w.dial(t, "notes", w.files(t, "operator"))
		health, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
		require.NoError(t, err)
		next := func() healthv1.HealthCheckResponse_ServingStatus {
			status, err := health.Recv()
			require.NoError(t, err)
			return status.Status
		}
		for next() != healthv1.HealthCheckResponse_SERVING { // until it was asked for the first time
		}
		heedless, err := rpc.Dial("passthrough:///notes", "notes", w.files(t, "operator"), slog.New(slog.DiscardHandler), w.overPipe(), grpc.WithDisableHealthCheck())
		require.NoError(t, err)
		t.Cleanup(func() { _ = heedless.Close() })
		stop()
		require.Equal(t, healthv1.HealthCheckResponse_NOT_SERVING, next())
		require.NoError(t, call(t.Context(), heedless, "Ping", note(nil)), "who has not noticed is still served")
		err = stream.RecvMsg(note(nil))
		e, ok := errs.As(err)
		require.True(t, ok, "%v", err)
		require.Equal(t, codes.Unavailable, e.Code())
		require.Equal(t, "SERVER_LEAVING", e.Reason())
		require.Positive(t, e.RetryAfter())
		require.NoError(t, <-w.ended)
	})
}
