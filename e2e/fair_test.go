package e2e

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/work"
)

const (
	flooding, other = 4711, 4712 // workspaces
	groupSync       = "entra_group_sync"
)

// flood works on runs of half a second. Those of tenants with even ids wait for
// quota for 20 s before.
type flood struct {
	mu    sync.Mutex
	began map[int64]time.Time
}

func (f *flood) job(ctx context.Context, r *work.Run) (work.Result, error) {
	f.mu.Lock()
	f.began[r.ID] = time.Now()
	f.mu.Unlock()
	if r.WorkspaceID == flooding && r.TenantID%2 == 0 {
		resume := r.Waiting(20 * time.Second)
		err := pause.For(ctx, 20*time.Second)
		resume(ctx)
		if err != nil {
			return work.Result{}, err
		}
	}
	if err := pause.For(ctx, 500*time.Millisecond); err != nil {
		return work.Result{}, err
	}
	return work.Result{Outcome: operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED}, nil
}

// A measurement, not a test: `make bench-fair`. One workspace has 2,000 runs queued,
// half of them of throttled tenants. How long does a run of another workspace wait?
func TestFairShares(t *testing.T) {
	t.Parallel()
	if os.Getenv("TENANTPILOT_BENCH_FAIR") == "" {
		t.Skip("make bench-fair measures it")
	}
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true})
	require.NoError(t, f.ca.Issue("directory"))
	conn, err := rpc.Dial(f.ports["operations"], "operations", f.client("directory"), f.log)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	db := pgtest.On(t, f.postgres, "directory", func(ctx context.Context, url string) error { return work.Migrate(ctx, url, "directory_app") })
	jobs := &flood{began: map[int64]time.Time{}}
	worker, err := work.New(work.Config{
		Settings: work.Settings{Workers: 10, MaxWaiting: -1, Heartbeat: 5 * time.Second, Sweep: 10 * time.Second},
		Service:  "directory", Pool: db.Pool, Operations: conn, Log: slog.New(slog.DiscardHandler),
		Jobs: map[string]work.Job{groupSync: jobs.job},
	})
	require.NoError(t, err)
	for i := range 2000 {
		startGroupSync(t, worker, flooding, int64(i%40+1))
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	require.NoError(t, pause.For(t.Context(), 5*time.Second))

	var waits []time.Duration
	for range 100 {
		asked := time.Now()
		id := startGroupSync(t, worker, other, 1)
		waits = append(waits, jobs.until(t, id).Sub(asked))
	}
	slices.Sort(waits)
	jobs.mu.Lock()
	defer jobs.mu.Unlock()
	t.Logf("a run of another workspace began after %s at the median, %s at 99 %%, %s at worst; %d runs have begun in all",
		waits[50].Round(time.Millisecond), waits[98].Round(time.Millisecond), waits[99].Round(time.Millisecond), len(jobs.began))
	require.LessOrEqual(t, waits[50], 2*time.Second)
	require.LessOrEqual(t, waits[98], 10*time.Second)
}

func startGroupSync(t *testing.T, w *work.Worker, workspace, tenant int64) int64 {
	t.Helper()
	resp, err := w.Start(t.Context(), &operationsv1.StartRunRequest{
		WorkspaceId: workspace, TenantId: &tenant, Type: groupSync, IdentityInputs: time.Now().String(),
	})
	require.NoError(t, err)
	return resp.GetRun().GetId()
}

func (f *flood) until(t *testing.T, id int64) (began time.Time) {
	t.Helper()
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		began = f.began[id]
		return !began.IsZero()
	}, time.Minute, 5*time.Millisecond)
	return began
}
