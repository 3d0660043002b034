// Package proof tests that the run store keeps its promises while things break: processes
// are killed, the database restarts, connections lose requests or replies, workers stop
// and go on. What a component does while nothing breaks is tested beside it.
//
// Every test is short by default. TENANTPILOT_PROOF=1, which `make test-proof`
// sets, makes them long.
package proof

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

const (
	succeeded = operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
	failed    = operationsv1.RunOutcome_RUN_OUTCOME_FAILED
	pending   = operationsv1.RunOutcome_RUN_OUTCOME_PENDING

	queued    = operationsv1.RunStatus_RUN_STATUS_QUEUED
	running   = operationsv1.RunStatus_RUN_STATUS_RUNNING
	completed = operationsv1.RunStatus_RUN_STATUS_COMPLETED
)

// TestMain lets the test binary be the processes that tests kill and stop.
func TestMain(m *testing.M) {
	switch os.Getenv("PROOF_PROCESS") {
	case "operations":
		obs.Main(operations.Name, operations.Service.Serve)
	case "worker":
		obs.Main("worker", beat)
	default:
		rpctest.VerifyNoLeaks(m)
	}
}

// scale returns short, or long if TENANTPILOT_PROOF is set.
func scale(short, long int) int {
	if os.Getenv("TENANTPILOT_PROOF") != "" {
		return long
	}
	return short
}

// site is a database, certificates, and the processes that work with them.
type site struct {
	dir string
	ca  *devca.CA
	db  *pgtest.DB
	log *slog.Logger
	// types are the settings of run types, as the service takes them.
	types     string
	reapEvery time.Duration
}

func newSite(t *testing.T, server pgtest.Handle, types string) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), types: types, reapEvery: 100 * time.Millisecond}
	s.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.db = pgtest.On(t, server, operations.Name, operations.Service.Migrate)
	var err error
	s.ca, err = devca.Open(s.dir)
	require.NoError(t, err)
	require.NoError(t, s.ca.Issue(operations.Name))
	require.NoError(t, s.ca.Issue("inventory"))
	require.NoError(t, devca.ActorKey(s.dir))
	return s
}

// config returns settings of a service that listens on address and uses the database at url.
func (s *site) config(address, url string) operations.Config {
	cfg := operations.Service.Defaults()
	cfg.Server = rpc.ServerConfig{
		Listen: address, TLSCert: s.ca.CertFile(operations.Name), TLSKey: s.ca.KeyFile(operations.Name), TLSCA: s.ca.RootFile(),
		ActorKeys: []string{filepath.Join(s.dir, "actor-pub.pem")},
	}
	cfg.Database = pg.Config{URL: url, MaxConns: 8}
	cfg.RunTypes, cfg.ReapEvery = s.types, s.reapEvery
	return cfg
}

// process starts the service as a process of its own.
func (s *site) process(t *testing.T, address string) *exec.Cmd {
	t.Helper()
	cfg := s.config(address, s.db.URL)
	cmd := child(t, "operations",
		"OPERATIONS_LISTEN="+address, "OPERATIONS_TLS_CERT="+cfg.Server.TLSCert, "OPERATIONS_TLS_KEY="+cfg.Server.TLSKey,
		"OPERATIONS_TLS_CA="+cfg.Server.TLSCA, "OPERATIONS_ACTOR_KEYS="+cfg.Server.ActorKeys[0], "OPERATIONS_DATABASE_URL="+s.db.URL,
		"OPERATIONS_DATABASE_MAX_CONNS=8", "OPERATIONS_REAP_EVERY="+s.reapEvery.String(), "OPERATIONS_RUN_TYPES="+s.types, "LOG_LEVEL=error",
	)
	cmd.Stderr = t.Output()
	begin(t, cmd)
	reachable(t, address)
	return cmd
}

// child returns this test binary as another process.
func child(t *testing.T, what string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0]) //nolint:gosec // this test binary
	cmd.Env = append(append(os.Environ(), "PROOF_PROCESS="+what), env...)
	return cmd
}

// begin starts cmd and ends it with the test.
func begin(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// serve runs the service in this process until the test ends.
func (s *site) serve(t *testing.T, address, url string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- operations.Service.Run(ctx, s.config(address, url), s.log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("operations: %v", err)
		}
	})
	reachable(t, address)
}

// dial connects to the service at address as inventory. The client repeats no call by itself:
// the test sees every error.
func (s *site) dial(t *testing.T, address string, extra ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(address, operations.Name, rpc.ClientConfig{
		TLSCert: s.ca.CertFile("inventory"), TLSKey: s.ca.KeyFile("inventory"), TLSCA: s.ca.RootFile(),
	}, s.log, append(extra, grpc.WithDisableRetry())...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exec changes rows, for example as time would.
func (s *site) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := s.db.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func reachable(t *testing.T, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 30*time.Second, 10*time.Millisecond, "%s does not listen", address)
}

// syncOf returns a request for a run of an identity, with a request id.
func syncOf(inputs, requestID, holder string) *operationsv1.StartRunRequest {
	tenant := int64(5)
	return &operationsv1.StartRunRequest{
		WorkspaceId: 1, TenantId: &tenant, Type: "inventory_sync", IdentityInputs: inputs, RequestId: requestID, Holder: holder,
	}
}

func name(parts ...any) string { return fmt.Sprint(parts...) }
