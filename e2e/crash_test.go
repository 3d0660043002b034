package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// binary builds the inventory command, once, for tests that kill it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tp-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "inventory")
	build := exec.Command("go", "build", "-o", path, "github.com/tenantpilot/tenantpilot/services/inventory/cmd/inventory")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// process starts inventory in a process of its own, with the environment that a platform
// would give it.
func (f *fleet) process(t *testing.T) *exec.Cmd {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	cfg := f.inventoryConfig(options{})
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path)
	cmd.Env = append(os.Environ(),
		"INVENTORY_LISTEN="+cfg.Server.Listen, "INVENTORY_TLS_CERT="+cfg.Server.TLSCert, "INVENTORY_TLS_KEY="+cfg.Server.TLSKey,
		"INVENTORY_TLS_CA="+cfg.Server.TLSCA, "INVENTORY_ACTOR_KEYS="+cfg.Server.ActorKeys[0], "INVENTORY_DATABASE_URL="+cfg.Database.URL,
		"INVENTORY_OPERATIONS_TARGET="+cfg.Targets["operations"], "INVENTORY_TENANCY_TARGET="+cfg.Targets["tenancy"], "INVENTORY_GRAPH_CA="+cfg.Graph.CA,
		"LOG_LEVEL=warn",
	)
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	f.reachable(t, "inventory")
	return cmd
}

// kill -9 ends the worker in the middle of a sync, with default settings. Another worker
// resumes it within 45 s, and nothing is stored twice.
func TestKilledWorkerIsResumed(t *testing.T) {
	t.Parallel()
	f := start(t, options{
		sim:      graphsim.TenantConfig{Counts: map[string]int{"configurationPolicies": 400}, Seed: 11},
		noQuotas: true, latency: 150 * time.Millisecond, outside: true,
	})
	worker := f.process(t)
	r := f.startSync(t, "configurationPolicies")
	require.Eventually(t, func() bool { return f.count(t, "select count(*) from item_version") > 0 },
		30*time.Second, 20*time.Millisecond, "nothing was written yet")
	require.NoError(t, worker.Process.Signal(syscall.SIGKILL))
	_ = worker.Wait()
	written := f.count(t, "select count(*) from item_version")
	require.Less(t, written, 400, "it was killed in the middle")

	killed := time.Now()
	f.process(t)
	require.Eventually(t, func() bool { return f.run(t, r.ID).Attempt == 2 }, 45*time.Second, 100*time.Millisecond)
	t.Logf("resumed after %s, %d of 400 written before", time.Since(killed).Round(time.Millisecond), written)
	ended := f.finish(t, r.ID, 2*time.Minute)
	require.Equal(t, succeeded, ended.Outcome, "%+v", ended.FailureSummary)
	require.Equal(t, 400, f.count(t, "select count(*) from item"))
	require.Equal(t, 400, f.count(t, "select count(*) from item_version"), "no version is there twice")
	requireByteExact(t, f, "configurationPolicies", "settings")
}

// A worker that gets SIGTERM releases its run, so that the next worker need not wait for the
// lease to expire.
func TestStoppedWorkerGivesItsRunBack(t *testing.T) {
	t.Parallel()
	f := start(t, options{
		sim:      graphsim.TenantConfig{Counts: map[string]int{"configurationPolicies": 200}, Seed: 12},
		noQuotas: true, latency: 150 * time.Millisecond, outside: true,
	})
	worker := f.process(t)
	r := f.startSync(t, "configurationPolicies")
	require.Eventually(t, func() bool { return f.run(t, r.ID).Status == "RUN_STATUS_RUNNING" }, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, worker.Process.Signal(syscall.SIGTERM))
	require.NoError(t, worker.Wait(), "it stops by itself, with exit code 0")
	require.Equal(t, "RUN_STATUS_QUEUED", f.run(t, r.ID).Status)
	f.process(t)
	ended := f.finish(t, r.ID, time.Minute)
	require.Equal(t, succeeded, ended.Outcome)
	require.Equal(t, 1, ended.Attempt, "the attempt was given back")
}

// A worker is stopped until its lease has expired, and another one finishes the run. When the
// first goes on, it cannot write any more.
func TestZombieWorkerIsFenced(t *testing.T) {
	t.Parallel()
	f := start(t, options{
		sim:      graphsim.TenantConfig{Counts: map[string]int{"configurationPolicies": 200}, Seed: 13},
		noQuotas: true, latency: 100 * time.Millisecond, outside: true,
		runTypes: `{"inventory_sync": {"lease": "3s"}}`,
	})
	zombie := f.process(t)
	r := f.startSync(t, "configurationPolicies")
	require.Eventually(t, func() bool { return f.count(t, "select count(*) from item_version") > 0 }, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, zombie.Process.Signal(syscall.SIGSTOP))
	f.ports["inventory"] = rpctest.FreeAddress(t)
	f.process(t)
	ended := f.finish(t, r.ID, time.Minute)
	require.Equal(t, succeeded, ended.Outcome, "%+v", ended.FailureSummary)
	require.NoError(t, zombie.Process.Signal(syscall.SIGCONT))
	again := f.sync(t, "configurationPolicies")
	require.Equal(t, succeeded, again.Outcome)
	require.Equal(t, 200, f.count(t, "select count(*) from item_version"))
	require.Equal(t, succeeded, f.run(t, r.ID).Outcome)
}

// PostgreSQL stops immediately in the middle of a sync, and starts again. The run succeeds
// without a restart of any other process.
func TestPostgresRestartedMidSync(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Private(t)
	f := start(t, options{
		postgres: postgres, sim: graphsim.TenantConfig{Counts: map[string]int{"configurationPolicies": 300}, Seed: 14},
		noQuotas: true, latency: 150 * time.Millisecond, runTypes: `{"inventory_sync": {"lease": "5s", "max_attempts": 5}}`,
	})
	f.checkpoint(t)
	r := f.startSync(t, "configurationPolicies")
	require.Eventually(t, func() bool { return f.count(t, "select count(*) from item_version") > 0 }, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, postgres.Restart(t.Context(), server.Immediate))

	var ended runJSON
	require.Eventually(t, func() bool {
		resp, said := f.api.call(t, "GET", "/api/v1/operations/"+r.ID, nil)
		if resp.StatusCode != 200 {
			return false // while it recovers
		}
		ended = parseRun(t, said)
		return ended.Status == "RUN_STATUS_COMPLETED"
	}, 90*time.Second, 100*time.Millisecond)
	require.Equal(t, succeeded, ended.Outcome, "%+v", ended.FailureSummary)
	require.Equal(t, 300, f.count(t, "select count(*) from item_version"))
}

// checkpoint makes cloned databases durable: throwaway servers do not log the copy.
func (f *fleet) checkpoint(t *testing.T) {
	t.Helper()
	_, err := f.superuser(t).Exec(t.Context(), "checkpoint")
	require.NoError(t, err)
}
