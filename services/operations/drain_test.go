package operations_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// TestMain lets the test binary be the service that the tests stop.
func TestMain(m *testing.M) {
	if os.Getenv("OPERATIONS_LISTEN") == "" {
		rpctest.VerifyNoLeaks(m)
		return
	}
	obs.Main(operations.Name, operations.Service.Serve)
}

// world is a database and replicas of the service, each a process.
type world struct {
	db *pgtest.DB
	ca *devca.CA
}

// replica is the service as a process.
type replica struct {
	address, admin string
	process        *os.Process
	ended          chan error
}

func setup(t *testing.T) *world {
	t.Helper()
	ca, err := devca.Open(t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{operations.Name, "inventory"} {
		require.NoError(t, ca.Issue(name))
	}
	return &world{db: pgtest.New(t, operations.Name, operations.Service.Migrate), ca: ca}
}

func (w *world) serve(t *testing.T) *replica {
	t.Helper()
	r := &replica{address: rpctest.FreeAddress(t), admin: rpctest.FreeAddress(t), ended: make(chan error, 1)}
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test binary
	cmd.Env = append(os.Environ(), "OPERATIONS_LISTEN="+r.address, "OPERATIONS_ADMIN_LISTEN="+r.admin,
		"OPERATIONS_TLS_CERT="+w.ca.CertFile(operations.Name), "OPERATIONS_TLS_KEY="+w.ca.KeyFile(operations.Name),
		"OPERATIONS_TLS_CA="+w.ca.RootFile(), "OPERATIONS_DATABASE_URL="+w.db.URL, "OPERATIONS_DRAIN_GRACE=3s", "LOG_LEVEL=warn")
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	r.process = cmd.Process
	go func() { r.ended <- cmd.Wait(); close(r.ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-r.ended
	})
	require.Eventually(t, func() bool { return r.get(t, "/readyz") == http.StatusOK }, 20*time.Second, 10*time.Millisecond)
	return r
}

// get returns the HTTP status of a page of the admin port, or 0 if nobody listens.
func (r *replica) get(t *testing.T, path string) int {
	t.Helper()
	code, _ := r.read(t, path)
	return code
}

func (r *replica) read(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.admin+path, nil)
	require.NoError(t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// dial connects to all replicas, as a service does.
func (w *world) dial(t *testing.T, replicas []*replica, extra ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	names := manual.NewBuilderWithScheme("replicas")
	var state resolver.State
	for _, r := range replicas {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: r.address})
	}
	names.InitialState(state)
	conn, err := rpc.Dial("replicas:///all", operations.Name, rpc.ClientConfig{
		TLSCert: w.ca.CertFile("inventory"), TLSKey: w.ca.KeyFile("inventory"), TLSCA: w.ca.RootFile(),
	}, slog.New(slog.DiscardHandler), append(extra, grpc.WithResolvers(names))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// repeated repeats a call while it fails with UNAVAILABLE.
func repeated[A any](ctx context.Context, call func(context.Context) (A, error)) (A, error) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		answer, err := call(ctx)
		if errs.Code(err) != codes.Unavailable {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-again.C:
		}
	}
}

// If a replica is asked to stop, no call is lost: it completes the calls it has begun, others
// do the rest, and what it has acknowledged is stored.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	w := setup(t)
	leaving, staying := w.serve(t), w.serve(t)
	runs := operationsv1.NewRunServiceClient(w.dial(t, []*replica{leaving, staying}))
	// This client does not know yet which replica stops.
	reader := operationsv1.NewRunReaderServiceClient(w.dial(t, []*replica{leaving}, grpc.WithDisableHealthCheck()))
	ctx, stop := context.WithCancel(t.Context())
	var load errgroup.Group
	var done atomic.Int64
	for caller := range 16 {
		load.Go(func() error {
			for n := 0; ctx.Err() == nil; n++ {
				if err := oneRun(t.Context(), runs, fmt.Sprint(caller, " ", n)); err != nil {
					return fmt.Errorf("caller %d, run %d: %w", caller, n, err)
				}
				done.Add(1)
			}
			return nil
		})
	}
	reached := func(n int64) { require.Eventually(t, func() bool { return done.Load() > n }, 30e9, 1e6) }
	reached(200)

	list := func() error {
		_, err := reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 1})
		return err
	}
	require.NoError(t, list())
	require.NoError(t, leaving.process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return leaving.get(t, "/readyz") == http.StatusServiceUnavailable }, 30e9, 1e6)
	require.NoError(t, list(), "it says that it is not ready while it still takes calls")
	require.NoError(t, <-leaving.ended, "exit code 0")
	reached(done.Load() + 200)
	stop()
	require.NoError(t, load.Wait())

	var stored int64
	require.NoError(t, w.db.Pool.QueryRow(t.Context(),
		"select count(*) from operation_runs where status = 'completed' and outcome = 'succeeded'").Scan(&stored))
	require.Equal(t, done.Load(), stored, "what was acknowledged, and no more")
	_, err := runs.StartRun(t.Context(), &operationsv1.StartRunRequest{WorkspaceId: 1, Type: "inventory_sync"})
	require.NoError(t, err)
	checkMetrics(t, staying)
}

func oneRun(ctx context.Context, runs operationsv1.RunServiceClient, name string) error {
	started, err := repeated(ctx, func(ctx context.Context) (*operationsv1.StartRunResponse, error) {
		return runs.StartRun(ctx, &operationsv1.StartRunRequest{
			WorkspaceId: 1, Type: "inventory_sync", IdentityInputs: name, RequestId: name, Holder: "us",
		})
	})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	_, err = repeated(ctx, func(ctx context.Context) (*operationsv1.CompleteRunResponse, error) {
		return runs.CompleteRun(ctx, &operationsv1.CompleteRunRequest{
			RunId: started.Run.Id, LeaseEpoch: started.Run.LeaseEpoch, Outcome: operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED,
		})
	})
	if err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	return nil
}

// checkMetrics requires the metrics that operators look for, and that no label has as many
// values as there are customers.
func checkMetrics(t *testing.T, r *replica) {
	t.Helper()
	code, page := r.read(t, "/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, series := range []string{
		`grpc_server_started_total{grpc_method="StartRun",grpc_service="tenantpilot.operations.v1.RunService",grpc_type="unary"}`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="CompleteRun"`,
		`grpc_server_handling_seconds_bucket{grpc_method="StartRun"`,
		`tenantpilot_runs_started_total{type="inventory_sync"}`,
		`tenantpilot_runs_finished_total{outcome="succeeded",type="inventory_sync"}`,
		`tenantpilot_run_duration_seconds_count{outcome="succeeded",type="inventory_sync"}`,
		`tenantpilot_runs_active{status="queued",type="inventory_sync"} 1`, `tenantpilot_run_queue_age_seconds{type="inventory_sync"}`,
		`tenantpilot_group_size_bucket{statement="start"`, `tenantpilot_group_seconds_count{statement="complete"}`,
		`tenantpilot_group_waiting{statement="progress"} 0`, `tenantpilot_group_refused_total{statement="begin"} 0`,
		`tenantpilot_db_pool_connections `, `tenantpilot_db_pool_wait_seconds_total `, `tenantpilot_build_info{`, `go_goroutines `,
	} {
		require.Contains(t, page, "\n"+series)
	}
	alerts, err := os.ReadFile("../../deploy/alerts.yml")
	require.NoError(t, err)
	for _, name := range regexp.MustCompile(`(tenantpilot|grpc_server)_[a-z_]+`).FindAllString(string(alerts), -1) {
		require.Contains(t, page, "# TYPE "+name+" ", "deploy/alerts.yml watches a metric that is not there")
	}
	for label := range strings.FieldsFuncSeq(page, func(r rune) bool { return r == '{' || r == ',' || r == '\n' }) {
		require.NotRegexp(t, `^(workspace|tenant|user|run)_?(id)?="`, label)
	}
}
