package proof

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// durable returns a PostgreSQL as in production: its data is on a disk, and commits are
// flushed to it.
func durable(t *testing.T) *server.Server {
	t.Helper()
	bin, err := server.Find()
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "tp-proof-") //nolint:usetesting // another user must get through
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // another user must get through; the data below is 0700
	s, err := server.Start(t.Context(), server.Options{Dir: dir, Bin: bin, Durable: true, Disposable: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Stop(server.Immediate) })
	return s
}

// The service is killed, and PostgreSQL crashes, again and again, while callers start and
// complete runs on two replicas. Nothing that was acknowledged is lost, no caller gets
// another error than UNAVAILABLE, and what was not killed recovers by itself.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	postgres := durable(t)
	s := newSite(t, pgtest.Handle{URL: postgres.URL()}, "")
	victim, survivor := rpctest.FreeAddress(t), rpctest.FreeAddress(t)
	process := s.process(t, victim)
	s.process(t, survivor)
	loads := []*load{newLoad("victim", s.dial(t, victim)), newLoad("survivor", s.dial(t, survivor))}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers errgroup.Group
	for _, l := range loads {
		callers.Go(func() error { return l.run(ctx, 8) })
	}
	for range scale(1, 15) {
		for _, l := range loads {
			l.goesOn(t, 50)
		}
		require.NoError(t, process.Process.Signal(syscall.SIGKILL))
		_ = process.Wait()
		loads[1].goesOn(t, 50)
		process = s.process(t, victim)
		loads[0].goesOn(t, 50)
		require.NoError(t, postgres.Restart(t.Context(), server.Immediate))
	}
	for _, l := range loads {
		l.goesOn(t, 50)
	}
	stop()
	require.NoError(t, callers.Wait())

	s.db.Pool.Reset()
	for _, l := range loads {
		t.Logf("%s: %d runs, told meanwhile: %v", l.name, l.acks.Load(), l.told)
		l.requireKept(t, s)
		require.NotEmpty(t, l.told, "nothing failed: nothing was proven")
	}
	audit(t, s.db.Pool)
}
