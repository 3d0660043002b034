// Package rpctest is a service in memory for a test: the real server and
// clients of pkg/rpc with mutual TLS, over a pipe instead of a port, and calls
// that fail on cue. Two services that talk by network belong in e2e.
package rpctest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
)

// Service is a running service.
type Service struct {
	name   string
	dir    string
	ca     *devca.CA
	pipe   *bufconn.Listener
	log    *slog.Logger
	lines  *lines
	signer *actor.Signer
	faults faults
}

// Serve runs the service name, whose methods register registers, until the test
// ends.
func Serve(t testing.TB, name string, register func(grpc.ServiceRegistrar), extra ...grpc.ServerOption) *Service {
	t.Helper()
	s := &Service{name: name, dir: t.TempDir(), pipe: bufconn.Listen(1 << 20), lines: &lines{}}
	s.log = slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), s.lines), nil))
	s.keys(t)
	s.issue(t, name)
	srv, err := rpc.NewServer(name, rpc.ServerConfig{
		TLSCert: s.ca.CertFile(name), TLSKey: s.ca.KeyFile(name), TLSCA: s.ca.RootFile(),
		ActorKeys: []string{filepath.Join(s.dir, "actor-pub.pem")},
	}, s.log, append(extra, grpc.ChainUnaryInterceptor(s.faults.unary))...)
	if err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	register(srv.Registrar())
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeOn(ctx, s.pipe, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("rpctest: %v", err)
		}
	})
	return s
}

func (s *Service) keys(t testing.TB) {
	t.Helper()
	var err error
	if s.ca, err = devca.Open(s.dir); err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	if err = devca.ActorKey(s.dir); err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	if s.signer, err = actor.NewSigner(filepath.Join(s.dir, "actor-key.pem")); err != nil {
		t.Fatalf("rpctest: %v", err)
	}
}

func (s *Service) issue(t testing.TB, name string) {
	t.Helper()
	if err := s.ca.Issue(name); err != nil {
		t.Fatalf("rpctest: %v", err)
	}
}

// Dial connects with the certificate of the service as ("gateway",
// "inventory", "operator"), which acts for itself.
func (s *Service) Dial(t testing.TB, as string, extra ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	s.issue(t, as)
	conn, err := rpc.Dial("passthrough:///"+s.name, s.name, rpc.ClientConfig{
		TLSCert: s.ca.CertFile(as), TLSKey: s.ca.KeyFile(as), TLSCA: s.ca.RootFile(),
	}, s.log, append(extra, grpc.WithContextDialer(s.dial))...)
	if err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// DialActor is [Service.Dial] for calls made on behalf of a user.
func (s *Service) DialActor(t testing.TB, as string, a actor.Actor, extra ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	return s.Dial(t, as, append(extra, grpc.WithPerRPCCredentials(onBehalf{actor: a, signer: s.signer}))...)
}

// Token returns a signed token of a.
func (s *Service) Token(t testing.TB, a actor.Actor) string {
	t.Helper()
	return s.TokenAt(t, a, time.Now())
}

// TokenAt returns a token of a that was signed at a given time: one that has
// expired, say.
func (s *Service) TokenAt(t testing.TB, a actor.Actor, at time.Time) string {
	t.Helper()
	token, err := s.signer.Sign(a, at)
	if err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	return token
}

// Logs is what the service has logged so far.
func (s *Service) Logs() string { return s.lines.String() }

func (s *Service) dial(ctx context.Context, _ string) (net.Conn, error) {
	return s.pipe.DialContext(ctx)
}

// onBehalf adds a freshly signed token to each call.
type onBehalf struct {
	actor  actor.Actor
	signer *actor.Signer
}

func (o onBehalf) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := o.signer.Sign(o.actor, time.Now())
	return map[string]string{actor.Metadata: token}, err
}

func (o onBehalf) RequireTransportSecurity() bool { return true }

// VerifyNoLeaks runs a package's tests and fails if they leave goroutines
// behind: func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }.
func VerifyNoLeaks(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is a buffer that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
