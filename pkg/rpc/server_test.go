package rpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

// world is a server over a pipe whose every part a test can reach.
type world struct {
	ca    *devca.CA
	pipe  *bufconn.Listener
	stop  context.CancelFunc
	ended chan error
}

type setup struct {
	cert       string // whose certificate the server "notes" has
	reflection bool
	healthy    func(context.Context) error
	ping       func(context.Context, *dynamicpb.Message) error
}

func serve(t *testing.T, with setup) *world {
	t.Helper()
	ca, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, ca.Issue(with.cert))
	if with.ping == nil {
		with.ping = ok
	}
	srv, err := rpc.NewServer("notes", rpc.ServerConfig{
		TLSCert: ca.CertFile(with.cert), TLSKey: ca.KeyFile(with.cert), TLSCA: ca.RootFile(), Reflection: with.reflection,
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	register(noteService, handlers{"Ping": with.ping})(srv.Registrar())
	ctx, stop := context.WithCancel(t.Context())
	w := &world{ca: ca, pipe: bufconn.Listen(1 << 16), stop: stop, ended: make(chan error, 1)}
	go func() { w.ended <- srv.ServeOn(ctx, w.pipe, with.healthy); close(w.ended) }()
	t.Cleanup(func() { stop(); <-w.ended })
	return w
}

func (w *world) files(t *testing.T, as string) rpc.ClientConfig {
	t.Helper()
	require.NoError(t, w.ca.Issue(as))
	return rpc.ClientConfig{TLSCert: w.ca.CertFile(as), TLSKey: w.ca.KeyFile(as), TLSCA: w.ca.RootFile()}
}

func (w *world) dial(t *testing.T, server string, cfg rpc.ClientConfig) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial("passthrough:///notes", server, cfg, slog.New(slog.DiscardHandler), w.overPipe())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *world) overPipe() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.pipe.DialContext(ctx) })
}

func TestAServerWithLawlessMethodsDoesNotStart(t *testing.T) {
	t.Parallel()
	ca, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, ca.Issue("notes"))
	srv, err := rpc.NewServer("notes", rpc.ServerConfig{
		Listen: "127.0.0.1:0", TLSCert: ca.CertFile("notes"), TLSKey: ca.KeyFile("notes"), TLSCA: ca.RootFile(),
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	lawless := handlers{"NoRule": ok, "NoScope": ok, "NoCaller": ok, "NoGroup": ok, "NoCapability": ok, "NoResource": ok}
	register("tenantpilot.note.v1.LawlessService", lawless)(srv.Registrar())
	err = srv.Serve(t.Context(), nil)
	for name := range lawless {
		require.ErrorContains(t, err, name)
	}
}

func TestThereIsNoPlainTextMode(t *testing.T) {
	t.Parallel()
	_, err := rpc.NewServer("notes", rpc.ServerConfig{Listen: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "TLS_CERT")
	_, err = rpc.Dial("passthrough:///x", "x", rpc.ClientConfig{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "TLS_CERT")
}

func TestBothEndsShowWhoTheyAre(t *testing.T) {
	t.Parallel()
	w := serve(t, setup{cert: "notes"})
	other, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, other.Issue("operator"))
	good := w.files(t, "operator")
	tests := map[string]struct {
		server string
		cfg    rpc.ClientConfig
		want   codes.Code
	}{
		"both as they should be":       {"notes", good, codes.OK},
		"a client of another CA":       {"notes", rpc.ClientConfig{TLSCert: other.CertFile("operator"), TLSKey: other.KeyFile("operator"), TLSCA: w.ca.RootFile()}, codes.Unavailable},
		"a server of another CA":       {"notes", rpc.ClientConfig{TLSCert: good.TLSCert, TLSKey: good.TLSKey, TLSCA: other.RootFile()}, codes.Unavailable},
		"a server of another name":     {"vault", good, codes.Unavailable},
		"a server that also localhost": {"localhost", good, codes.Unavailable}, // right DNS name, wrong SPIFFE name
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, errs.Code(call(t.Context(), w.dial(t, tt.server, tt.cfg), "Ping", note(nil))))
		})
	}
}

func TestWithoutACertificateOrWithOldTLSNobodyGetsIn(t *testing.T) {
	t.Parallel()
	w := serve(t, setup{cert: "notes"})
	roots := x509.NewCertPool()
	text, err := os.ReadFile(w.ca.RootFile())
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(text))
	cfg := w.files(t, "operator")
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	require.NoError(t, err)
	for name, config := range map[string]*tls.Config{
		"no certificate": {RootCAs: roots, ServerName: "notes", MinVersion: tls.VersionTLS13},
		"TLS 1.2":        {RootCAs: roots, ServerName: "notes", Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}, //nolint:gosec // that is the point
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := grpc.NewClient("passthrough:///notes", grpc.WithTransportCredentials(credentials.NewTLS(config)), w.overPipe())
			require.NoError(t, err)
			defer conn.Close() // of a test
			require.Error(t, call(t.Context(), conn, "Ping", note(nil)))
		})
	}
}

func TestANewCertificateIsUsedWithoutARestart(t *testing.T) {
	t.Parallel()
	w := serve(t, setup{cert: "notes"})
	cfg := w.files(t, "operator")
	require.NoError(t, call(t.Context(), w.dial(t, "notes", cfg), "Ping", note(nil)))
	// The whole CA changes: the server's files are replaced where they are.
	next, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{"notes", "operator"} {
		require.NoError(t, next.Issue(name))
		replace(t, next.CertFile(name), w.ca.CertFile(name))
		replace(t, next.KeyFile(name), w.ca.KeyFile(name))
	}
	replace(t, next.RootFile(), w.ca.RootFile())
	fresh := rpc.ClientConfig{TLSCert: next.CertFile("operator"), TLSKey: next.KeyFile("operator"), TLSCA: next.RootFile()}
	require.NoError(t, call(t.Context(), w.dial(t, "notes", fresh), "Ping", note(nil)))
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	temp := filepath.Join(filepath.Dir(to), "new")
	require.NoError(t, os.WriteFile(temp, text, 0o600))
	require.NoError(t, os.Chtimes(temp, time.Now(), time.Now().Add(time.Second)))
	require.NoError(t, os.Rename(temp, to))
}

func TestHealthIsAskedAndTold(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	var failed atomic.Int64
	w := serve(t, setup{cert: "notes", healthy: func(context.Context) error {
		if ill.Load() {
			failed.Add(1)
			return errors.New("no database")
		}
		return nil
	}})
	watch, err := healthv1.NewHealthClient(w.dial(t, "notes", w.files(t, "anybody"))).
		Watch(t.Context(), &healthv1.HealthCheckRequest{Service: noteService})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return told(t, watch) == healthv1.HealthCheckResponse_SERVING }, 30*time.Second, time.Millisecond)
	ill.Store(true)
	require.Equal(t, healthv1.HealthCheckResponse_NOT_SERVING, told(t, watch))
	require.EqualValues(t, 2, failed.Load(), "one failure alone says nothing")
	ill.Store(false)
	require.Equal(t, healthv1.HealthCheckResponse_SERVING, told(t, watch))
}

// A server that has never been healthy says so at once.
func TestAServerThatBeginsIllIsNotServing(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	w := serve(t, setup{cert: "notes", healthy: func(context.Context) error {
		asked <- struct{}{}
		return errors.New("no database")
	}})
	heedless, err := rpc.Dial("passthrough:///notes", "notes", w.files(t, "anybody"), slog.New(slog.DiscardHandler), w.overPipe(), grpc.WithDisableHealthCheck())
	require.NoError(t, err)
	t.Cleanup(func() { _ = heedless.Close() })
	watch, err := healthv1.NewHealthClient(heedless).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	for told(t, watch) != healthv1.HealthCheckResponse_NOT_SERVING {
	}
	require.Len(t, asked, 1)
}

func told(t *testing.T, watch grpc.ServerStreamingClient[healthv1.HealthCheckResponse]) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	resp, err := watch.Recv()
	if err != nil {
		t.Error(err)
	}
	return resp.GetStatus()
}

func TestACallThatRunsMayFinishWhenTheServerStops(t *testing.T) {
	t.Parallel()
	entered, finish := make(chan struct{}), make(chan struct{})
	w := serve(t, setup{cert: "notes", ping: func(context.Context, *dynamicpb.Message) error { close(entered); <-finish; return nil }})
	conn := w.dial(t, "notes", w.files(t, "operator"))
	answer := make(chan error, 1)
	go func() { answer <- call(t.Context(), conn, "Ping", note(nil)) }()
	<-entered
	w.stop()
	require.Eventually(t, func() bool { _, err := w.pipe.Dial(); return err != nil }, 30*time.Second, time.Millisecond, "no new connections")
	close(finish)
	require.NoError(t, <-answer)
	require.NoError(t, <-w.ended)
}

func TestReflectionIsForDevelopment(t *testing.T) {
	t.Parallel()
	for on, want := range map[bool]codes.Code{true: codes.OK, false: codes.Unimplemented} {
		w := serve(t, setup{cert: "notes", reflection: on})
		info, err := reflectionv1.NewServerReflectionClient(w.dial(t, "notes", w.files(t, "operator"))).ServerReflectionInfo(t.Context())
		require.NoError(t, err)
		_ = info.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		_, err = info.Recv()
		require.Equal(t, want, errs.Code(err))
	}
}
