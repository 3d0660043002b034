package proof

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// beat is a worker. It begins a run and sends heartbeats until one is refused. Then it
// completes the run, and prints the result of that call.
func beat(ctx context.Context, log *slog.Logger) error {
	conn, err := rpc.Dial(os.Getenv("WORKER_TARGET"), operations.Name, rpc.ClientConfig{
		TLSCert: os.Getenv("WORKER_CERT"), TLSKey: os.Getenv("WORKER_KEY"), TLSCA: os.Getenv("WORKER_CA"),
	}, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	runs := operationsv1.NewRunServiceClient(conn)
	id, err := strconv.ParseInt(os.Getenv("WORKER_RUN"), 10, 64)
	if err != nil {
		return err
	}
	begun, err := runs.BeginRun(ctx, &operationsv1.BeginRunRequest{RunId: id, Holder: "zombie"})
	if err != nil {
		return err
	}
	pulse := time.NewTicker(50 * time.Millisecond)
	defer pulse.Stop()
	for n := int64(1); err == nil; n++ {
		fmt.Println("beating")
		<-pulse.C
		_, err = runs.ReportProgress(ctx, &operationsv1.ReportProgressRequest{
			RunId: id, LeaseEpoch: begun.Run.LeaseEpoch, SummaryCounts: map[string]int64{"processed": n},
		})
	}
	fmt.Println("report refused:", errs.Reason(err))
	_, err = runs.CompleteRun(ctx, &operationsv1.CompleteRunRequest{
		RunId: id, LeaseEpoch: begun.Run.LeaseEpoch, Outcome: succeeded, SummaryCounts: map[string]int64{"processed": 1_000},
	})
	fmt.Println("completion refused:", errs.Reason(err))
	return nil
}

// A worker process is stopped for longer than its lease and then goes on. It cannot change
// what another worker has done with the run in between.
func TestAZombieWorkerIsFenced(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ended  bool // the other worker has finished before the zombie goes on
		told   string
		events []string
	}{
		"while the other is at it": {told: "LEASE_LOST",
			events: []string{"created", "begun", "requeued", "begun", "late_completion_rejected", "completed"}},
		"after the other ended it": {ended: true, told: "RUN_COMPLETED",
			events: []string{"created", "begun", "requeued", "begun", "completed", "late_completion_rejected"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, pgtest.Server(t), `{"inventory_sync": {"lease": "3s"}}`)
			address := rpctest.FreeAddress(t)
			s.serve(t, address, s.db.URL)
			w := s.caller(t, address)
			r := w.start(t, syncOf("x", "", ""))
			zombie, says := s.worker(t, address, r.Id)
			require.Equal(t, "beating", says(t))
			require.NoError(t, zombie.Signal(syscall.SIGSTOP))
			w.until(t, r.Id, queued)
			other := w.begin(t, r.Id, "other")
			require.EqualValues(t, 3, other.LeaseEpoch)
			s.exec(t, "update run_lease set expires_at = now() + interval '1 hour' where run_id = $1", r.Id) // it must not expire
			if tt.ended {
				w.complete(t, other, failed)
			}
			require.NoError(t, zombie.Signal(syscall.SIGCONT))
			said := says(t)
			for said == "beating" {
				said = says(t)
			}
			require.Equal(t, "report refused: "+tt.told, said)
			require.Equal(t, "completion refused: "+tt.told, says(t))
			if !tt.ended {
				w.complete(t, other, failed)
			}
			stands := w.get(t, r.Id)
			require.Equal(t, failed, stands.Outcome)
			require.NotEqualValues(t, 1_000, stands.SummaryCounts["processed"])
			require.Equal(t, tt.events, w.events(t, r.Id))
			audit(t, s.db.Pool)
		})
	}
}

// worker starts a worker process for run id, and returns a function that reads its output.
func (s *site) worker(t *testing.T, address string, id int64) (*os.Process, func(*testing.T) string) {
	t.Helper()
	cmd := child(t, "worker", "WORKER_TARGET="+address, "WORKER_RUN="+strconv.FormatInt(id, 10), "WORKER_CERT="+s.ca.CertFile("inventory"),
		"WORKER_KEY="+s.ca.KeyFile("inventory"), "WORKER_CA="+s.ca.RootFile())
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	begin(t, cmd)
	lines := bufio.NewReader(out)
	return cmd.Process, func(t *testing.T) string {
		t.Helper()
		line, err := lines.ReadString('\n')
		if err != io.EOF {
			require.NoError(t, err)
		}
		return strings.TrimSpace(line)
	}
}

// caller is a client that calls as inventory.
type caller struct {
	runs   operationsv1.RunServiceClient
	reader operationsv1.RunReaderServiceClient
}

func (s *site) caller(t *testing.T, address string) *caller {
	t.Helper()
	return callerOn(s.dial(t, address))
}

func callerOn(conn *grpc.ClientConn) *caller {
	return &caller{runs: operationsv1.NewRunServiceClient(conn), reader: operationsv1.NewRunReaderServiceClient(conn)}
}

func (c *caller) start(t *testing.T, req *operationsv1.StartRunRequest) *operationsv1.Run {
	t.Helper()
	resp, err := c.runs.StartRun(t.Context(), req)
	require.NoError(t, err)
	return resp.Run
}

func (c *caller) begin(t *testing.T, id int64, holder string) *operationsv1.Run {
	t.Helper()
	resp, err := c.runs.BeginRun(t.Context(), &operationsv1.BeginRunRequest{RunId: id, Holder: holder})
	require.NoError(t, err)
	return resp.Run
}

func (c *caller) complete(t *testing.T, r *operationsv1.Run, outcome operationsv1.RunOutcome) {
	t.Helper()
	_, err := c.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: outcome})
	require.NoError(t, err)
}

func (c *caller) get(t *testing.T, id int64) *operationsv1.Run {
	t.Helper()
	resp, err := c.reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: id})
	require.NoError(t, err)
	return resp.Run
}

// until waits until a run has a status.
func (c *caller) until(t *testing.T, id int64, status operationsv1.RunStatus) {
	t.Helper()
	require.Eventually(t, func() bool { return c.get(t, id).Status == status }, 30*time.Second, 10*time.Millisecond)
}

func (c *caller) events(t *testing.T, id int64) []string {
	t.Helper()
	resp, err := c.reader.ListRunEvents(t.Context(), &operationsv1.ListRunEventsRequest{RunId: id})
	require.NoError(t, err)
	var kinds []string
	for _, e := range resp.Events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}
