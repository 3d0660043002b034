package proof

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// tuples is how PostgreSQL counts the row versions of a table.
type tuples struct {
	Inserted, Updated, HotUpdated, Deleted, Dead int64
}

// tuplesOf returns what connections of the store did to a table. They must have ended:
// PostgreSQL adds the last of it when a connection ends.
func (s *site) tuplesOf(t *testing.T, table string) tuples {
	t.Helper()
	var n tuples
	require.NoError(t, s.db.Pool.QueryRow(t.Context(), `
		select n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup from pg_stat_user_tables where relname = $1`, table).
		Scan(&n.Inserted, &n.Updated, &n.HotUpdated, &n.Deleted, &n.Dead))
	return n
}

// counted calls f with new stores, and waits until their connections have ended.
func (s *site) counted(t *testing.T, f func(one, other *store.Store)) {
	t.Helper()
	var stores []*store.Store
	var pools []*pgxpool.Pool
	for range 2 {
		db, err := pg.Open(t.Context(), s.db.URL+"&application_name=counted", 8)
		require.NoError(t, err)
		stores, pools = append(stores, store.New(db, run.DefaultTypes())), append(pools, db)
	}
	f(stores[0], stores[1])
	for _, db := range pools {
		db.Close()
	}
	require.Eventually(t, func() bool {
		var left int
		err := s.db.Pool.QueryRow(t.Context(), "select count(*) from pg_stat_activity where application_name = 'counted' and datname = current_database()").Scan(&left)
		return err == nil && left == 0
	}, 30*time.Second, 5*time.Millisecond)
}

// A start whose twin is committed writes nothing: no row, and no row version that vacuum
// would have to remove.
func TestDuplicateStartsLeaveNoDeadTuples(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), "")
	start := startOf("same")
	s.counted(t, func(st, _ *store.Store) {
		first, err := st.Start(t.Context(), start)
		require.NoError(t, err)
		require.True(t, first.Started)
		var group errgroup.Group
		for i := range 16 {
			group.Go(func() error {
				for n := range 50 {
					again := start
					if i%2 == 0 {
						again.RequestID = name(i, " ", n)
					}
					twin, err := st.Start(t.Context(), again)
					if err != nil || twin.Started || twin.Run.ID != first.Run.ID {
						return fmt.Errorf("start %d %d: %+v, %w", i, n, twin, err)
					}
				}
				return nil
			})
		}
		require.NoError(t, group.Wait())
	})
	require.Equal(t, tuples{Inserted: 1}, s.tuplesOf(t, "operation_runs"))
	require.Equal(t, tuples{Inserted: 1}, s.tuplesOf(t, "run_event"))
	require.Equal(t, tuples{Inserted: 400}, s.tuplesOf(t, "run_request"), "the joins that are remembered, and nothing else")
}

// A start whose twin is not committed yet waits for it, and then writes nothing either.
func TestStartsThatWaitForTheirTwinLeaveNoDeadTuples(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), "")
	s.counted(t, func(one, other *store.Store) {
		twin, err := pgx.Connect(t.Context(), s.db.URL+"&application_name=counted")
		require.NoError(t, err)
		defer twin.Close(t.Context())
		tx, err := twin.Begin(t.Context())
		require.NoError(t, err)
		var id int64
		require.NoError(t, tx.QueryRow(t.Context(), `
			insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts)
			values (1, 5, 'x', 'inventory_sync', 'queued', 'pending', $1, now(), 3) returning id`, startOf("same").Identity()).Scan(&id))
		var group errgroup.Group
		for _, st := range []*store.Store{one, other} {
			group.Go(func() error {
				met, err := st.Start(t.Context(), startOf("same"))
				if err != nil || met.Started || met.Run.ID != id {
					return fmt.Errorf("%+v, %w", met, err)
				}
				return nil
			})
		}
		require.Eventually(t, func() bool {
			var waiting int
			err := s.db.Pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity
				where datname = current_database() and wait_event_type = 'Lock'`).Scan(&waiting)
			return err == nil && waiting == 2
		}, 30*time.Second, time.Millisecond)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, group.Wait())
	})
	require.Equal(t, tuples{Inserted: 1}, s.tuplesOf(t, "operation_runs"))
	require.Equal(t, tuples{}, s.tuplesOf(t, "run_event"))
}

// If two replicas start one identity at the same instant, neither may see the other's row.
// PostgreSQL then removes the later row before it writes anything else. That is at most one
// dead row a race, and mostly none. Only a lock for every start could avoid it.
func TestStartsThatRaceTheirTwinLeaveOneDeadTupleAtMost(t *testing.T) {
	t.Parallel()
	const races = 300
	s := newSite(t, pgtest.Server(t), "")
	s.counted(t, func(one, other *store.Store) {
		for n := range races {
			var group errgroup.Group
			var met [2]store.StartResult
			for i, st := range []*store.Store{one, other} {
				group.Go(func() (err error) {
					met[i], err = st.Start(t.Context(), startOf(name("race ", n)))
					return err
				})
			}
			require.NoError(t, group.Wait())
			require.Equal(t, met[0].Run.ID, met[1].Run.ID)
			require.NotEqual(t, met[0].Started, met[1].Started, "one of them made it")
		}
	})
	runs := s.tuplesOf(t, "operation_runs")
	t.Logf("%d rows taken back in %d races", runs.Deleted, races)
	require.EqualValues(t, races, runs.Inserted-runs.Deleted)
	require.LessOrEqual(t, runs.Deleted, int64(races))
	require.LessOrEqual(t, runs.Dead, runs.Deleted)
	require.Zero(t, runs.Updated)
	require.Equal(t, tuples{Inserted: races}, s.tuplesOf(t, "run_event"))
}

func startOf(inputs string) run.Start {
	tenant := int64(5)
	return run.Start{WorkspaceID: 1, TenantID: &tenant, InitiatorName: "x", Type: run.DefaultTypes()["inventory_sync"],
		IdentityInputs: inputs, Context: []byte("{}"), Caller: "inventory", Digest: []byte("d")}
}

// At least 95 of 100 heartbeats are heap-only updates (HOT). The test has a server of its
// own: an open transaction in any database of a server keeps pages from being pruned, and
// those of other tests may be long. On a busy machine a statement of the test itself may
// stand still for so long that it does the same, so one good round of three is enough.
func TestHeartbeatsAreHot(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	var hot float64
	for round := 0; round < 3 && hot < 0.95; round++ {
		hot = hotHeartbeats(t, newSite(t, server.Handle(), ""))
		t.Logf("round %d: %.1f %% hot", round, 100*hot)
	}
	require.GreaterOrEqual(t, hot, 0.95)
}

// hotHeartbeats returns which part of the heartbeats of many runs were HOT.
func hotHeartbeats(t *testing.T, s *site) float64 {
	const workers, runs, beats = 8, 60, 6
	s.counted(t, func(st, _ *store.Store) {
		var group errgroup.Group
		for i := range workers {
			group.Go(func() error { return work(t, st, name("worker ", i), runs, beats) })
		}
		require.NoError(t, group.Wait())
	})
	n := s.tuplesOf(t, "run_lease")
	require.EqualValues(t, workers*runs*beats, n.Updated)
	return float64(n.HotUpdated) / float64(n.Updated)
}

// work begins runs, sends beats heartbeats for each in random order, and completes them.
func work(t *testing.T, st *store.Store, holder string, runs, beats int) error {
	var ids []int64
	for n := range runs {
		ask := startOf(name(holder, " ", n))
		ask.Holder = holder
		started, err := st.Start(t.Context(), ask)
		if err != nil {
			return err
		}
		ids = append(ids, started.Run.ID)
	}
	for i := range beats {
		rand.Shuffle(len(ids), func(a, b int) { ids[a], ids[b] = ids[b], ids[a] })
		for _, id := range ids {
			counts := map[string]int64{"processed": int64(i), "total": int64(beats)}
			if _, err := st.Progress(t.Context(), "inventory", id, 1, counts); err != nil {
				return err
			}
		}
	}
	for _, id := range ids {
		if _, err := st.Complete(t.Context(), "inventory", id, run.Completion{Epoch: 1, Outcome: run.Succeeded, Digest: []byte("d")}); err != nil {
			return err
		}
	}
	return nil
}
