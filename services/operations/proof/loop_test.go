package proof

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/reaper"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/retention"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

// The whole service, with all its loops, is stopped at any instant, also before it listens.
// TestMain finds goroutines that it leaves behind.
func TestTheServiceStartsAndStops(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), "")
	for range scale(15, 200) {
		cfg := s.config(rpctest.FreeAddress(t), s.db.URL)
		cfg.Database.OwnerURL = s.db.OwnerURL
		cfg.ReapEvery, cfg.FoldEvery, cfg.RetainEvery = time.Millisecond, time.Millisecond, time.Millisecond
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(rand.IntN(100))*time.Millisecond) //nolint:gosec // a test's dice
		ended := make(chan error, 1)
		go func() { ended <- operations.Service.Run(ctx, cfg, s.log) }()
		<-ctx.Done()
		requireEnds(t, ended, 30*time.Second)
		stop()
	}
}

// requireEnds waits for something that was told to stop.
func requireEnds(t *testing.T, ended <-chan error, within time.Duration) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) { // it was stopped before it listened
			require.NoError(t, err)
		}
	case <-time.After(within):
		t.Fatal("it did not stop")
	}
}

// Each loop is stopped at any instant, while three of its kind run, as in replicas.
func TestLoopsStartAndStop(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), "")
	db, types := s.db.Pool, run.DefaultTypes()
	loops := map[string]func(context.Context){
		"reaper": func(ctx context.Context) {
			st := store.New(db, types)
			s.again(ctx, func() error { return reaper.Pass(ctx, st, s.log) })
		},
		"statistics": func(ctx context.Context) {
			s.again(ctx, func() error { _, err := statistics.New(db).Fold(ctx); return err })
		},
		"retention": func(ctx context.Context) {
			s.again(ctx, func() error { _, err := retention.New(db, types).Remove(ctx, s.db.OwnerURL); return err })
		},
		"watch": func(ctx context.Context) { watch.New(store.New(db, types), s.log).Run(ctx) },
	}
	for what, loop := range loops {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for range scale(20, 300) {
				ctx, stop := context.WithTimeout(t.Context(), time.Duration(rand.IntN(10_000))*time.Microsecond) //nolint:gosec // a test's dice
				ended := make(chan error, 1)
				go func() {
					var replicas errgroup.Group
					for range 3 {
						replicas.Go(func() error { loop(ctx); return nil })
					}
					ended <- replicas.Wait()
				}()
				<-ctx.Done()
				requireEnds(t, ended, 30*time.Second)
				stop()
			}
		})
	}
}

// again calls pass until ctx ends. A pass that fails is followed by the next one,
// as in the service.
func (s *site) again(ctx context.Context, pass func() error) {
	for ctx.Err() == nil {
		if err := pass(); err != nil {
			s.log.Info("pass failed", "err", err)
		}
	}
}

// The database does not respond any more. The service still stops on request.
func TestItStopsWhileTheDatabaseIsSilent(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), "")
	wire := pgtest.NewWire(t, s.db.URL)
	cfg := s.config(rpctest.FreeAddress(t), wire.URL(s.db.URL))
	cfg.FoldEvery, cfg.RetainEvery, cfg.Database.OwnerURL = 10*time.Millisecond, 10*time.Millisecond, wire.URL(s.db.OwnerURL)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- operations.Service.Run(ctx, cfg, s.log) }()
	reachable(t, cfg.Server.Listen)
	defer wire.Freeze()()
	beginning, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := s.caller(t, cfg.Server.Listen).runs.StartRun(beginning, syncOf("x", "x", ""))
	require.Error(t, err)
	stop()
	requireEnds(t, ended, 45*time.Second)
}

// Every connection to the database dies without being closed, as when a router forgets
// them. The service notices, and its calls and its reaper go on.
func TestItRecoversFromDeadConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), `{"inventory_sync": {"lease": "1s", "max_attempts": 1}}`)
	wire, address := pgtest.NewWire(t, s.db.URL), rpctest.FreeAddress(t)
	s.serve(t, address, wire.URL(s.db.URL))
	w := s.caller(t, address)
	r := w.start(t, syncOf("x", "x", "worker"))
	wire.Strand()
	defer wire.Cut() // so that closing the connections does not wait for a reply
	began := time.Now()
	require.Eventually(t, func() bool {
		return len(ids(t, s.db.Pool, "select id from operation_runs where id = $1 and status = 'completed'", r.Id)) == 1
	}, 45*time.Second, 50*time.Millisecond, "the reaper waits for a response that never comes")
	t.Logf("reaped after %s", time.Since(began).Round(time.Millisecond))
	l := newLoad("after", s.dial(t, address))
	require.NoError(t, l.one(t.Context(), "again", 0))
	t.Logf("served after %s", time.Since(began).Round(time.Millisecond))
}
