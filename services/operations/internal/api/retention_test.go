package api_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/retention"
)

// keeping returns the retention with settings for inventory syncs.
func (w *world) keeping(t *testing.T, settings string) *retention.Store {
	t.Helper()
	types, err := run.DefaultTypes().With(`{"inventory_sync":` + settings + `}`)
	require.NoError(t, err)
	return retention.New(w.db.Pool, types)
}

func (w *world) retain(t *testing.T, s *retention.Store) int64 {
	t.Helper()
	removed, err := s.Remove(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	return removed
}

func (w *world) one(t *testing.T, sql string) (n int64) {
	t.Helper()
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func (w *world) retention(t *testing.T, typ string) *operationsv1.RetentionStatus {
	t.Helper()
	resp, err := operationsv1.NewRunReaderServiceClient(w.svc.Dial(t, "operator")).GetRetention(t.Context(), &operationsv1.GetRetentionRequest{})
	require.NoError(t, err)
	for _, s := range resp.Types {
		if s.Type == typ {
			return s
		}
	}
	return nil
}

func daysAgo(n int) time.Time { return time.Now().AddDate(0, 0, -n) }

func TestRetentionRemovesWhatIsDueAndNothingElse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings    string
		old, young  int // runs that ended before and after 90 days ago
		identities  int // of the old ones, in turn; the young ones have other identities
		left        int64
		unfoldedToo bool
	}{
		"by age alone":               {`{"keep_at_least":0,"keep_newest":false}`, 20, 5, 20, 5, false},
		"the newest of an identity":  {`{"keep_at_least":0}`, 20, 5, 4, 4 + 5, false},
		"identities of one run each": {`{"keep_at_least":0}`, 20, 5, 20, 25, false},
		"at least so many":           {`{"keep_at_least":9,"keep_newest":false}`, 20, 5, 20, 9, false},
		"more than there are":        {`{"keep_at_least":26,"keep_newest":false}`, 20, 5, 20, 25, false},
		"both":                       {`{"keep_at_least":7}`, 20, 5, 4, 4 + 5, false},
		"longer than the default":    {`{"keep_at_least":0,"keep_newest":false,"retention_days":120}`, 20, 5, 20, 25, false},
		"not in the statistics yet":  {`{"keep_at_least":0,"keep_newest":false}`, 20, 5, 20, 25, true},
		"more than a batch":          {`{"keep_at_least":0}`, 1700, 5, 600, 605, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			s := w.keeping(t, tt.settings)
			w.ended(t, "inventory_sync", "succeeded", tt.old, daysAgo(91), tt.identities)
			w.ended(t, "entra_group_sync", "failed", 101, daysAgo(91), 1)
			if !tt.unfoldedToo {
				w.fold(t)
			}
			w.ended(t, "inventory_sync", "failed", tt.young, daysAgo(89), 1000)
			w.exec(t, "update operation_runs set created_at = now() - interval '1 year' where id = $1", w.at(t, "running").Id)

			removed := w.retain(t, s)
			require.Equal(t, tt.left, w.one(t, "select count(*) from operation_runs where type = 'inventory_sync' and status = 'completed'"))
			require.EqualValues(t, 1, w.one(t, "select count(*) from operation_runs where status <> 'completed'"), "an active run stays, however old")
			if !tt.unfoldedToo {
				require.EqualValues(t, 100, w.one(t, "select count(*) from operation_runs where type = 'entra_group_sync'"), "each type by its own settings")
				require.EqualValues(t, int64(tt.old+tt.young)-tt.left+1, removed)
			}
			for _, table := range []string{"run_event", "run_lease", "run_request", "run_label"} {
				require.Zero(t, w.one(t, "select count(*) from "+table+" where run_id not in (select id from operation_runs)"), table)
			}
			require.Zero(t, w.retain(t, s), "nothing more is due")
		})
	}
}

func TestARunIsRemovedWithAllThatIsItsOwn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":0,"keep_newest":false}`)
	req := sync("a")
	req.RequestId = "0b5ff2a3-6c4a-4f2e-8d3e-0d5e4b3f2a1c"
	r := w.start(t, req)
	w.exec(t, "insert into run_label (workspace_id, key, value, run_id) values (1, 'selection_hash', 'x', $1)", r.Id)
	w.exec(t, "update operation_runs set created_at = now() - interval '100 days', queued_at = now() - interval '100 days' where id = $1", r.Id)
	w.exec(t, "update operation_runs set status = 'completed', outcome = 'failed', completed_at = now() - interval '99 days' where id = $1", r.Id)
	w.exec(t, `insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, created_at, completed_at, max_attempts, origin)
		values (1, 'x', 'inventory_sync', 'completed', 'failed', sha256('l'), now() - interval '2 years', now() - interval '2 years', 1, 'legacy')`)

	require.EqualValues(t, 2, w.retain(t, s), "imported runs by the same rules")
	for _, table := range []string{"operation_runs", "run_event", "run_request", "run_label"} {
		require.Zero(t, w.one(t, "select count(*) from "+table), table)
	}
	status := w.retention(t, "inventory_sync")
	require.EqualValues(t, 2, status.LastRemovedCount)
	require.EqualValues(t, 2, status.RemovedCount)
	require.Empty(t, status.LastError)
	require.Positive(t, status.LastPassDuration.AsDuration())
	require.WithinDuration(t, time.Now(), status.LastPassTime.AsTime(), time.Minute)
	require.Zero(t, w.retention(t, "entra_group_sync").RemovedCount)

	require.Zero(t, w.retain(t, s))
	status = w.retention(t, "inventory_sync")
	require.Zero(t, status.LastRemovedCount)
	require.EqualValues(t, 2, status.RemovedCount)
}

func TestRetentionDoesNotChangeStatistics(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":0,"keep_newest":false}`)
	w.ended(t, "inventory_sync", "failed", 300, daysAgo(91), 3)
	w.fold(t)
	before := w.sums(t)
	require.Contains(t, before, "TIMEOUT")
	require.EqualValues(t, 300, w.retain(t, s))
	require.Equal(t, before, w.sums(t))
}

// sums returns the statistics of half a year.
func (w *world) sums(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(w.summarize(t, &operationsv1.SummarizeRunsRequest{
		WorkspaceId: 1, StartTime: timestamppb.New(daysAgo(180)), Bucket: operationsv1.SummaryBucket_SUMMARY_BUCKET_DAY,
	}))
}

func TestTwoReplicasRemoveEachRunOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ended(t, "inventory_sync", "succeeded", 3000, daysAgo(91), 100)
	w.fold(t)
	var total [2]int64
	var group errgroup.Group
	for i := range total {
		s := w.keeping(t, `{"keep_at_least":0}`)
		group.Go(func() (err error) {
			total[i], err = s.Remove(t.Context(), w.db.OwnerURL)
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, 2900, total[0]+total[1])
	require.EqualValues(t, 2900, w.retention(t, "inventory_sync").RemovedCount)
	require.EqualValues(t, 100, w.one(t, "select count(*) from operation_runs"))
}

// A pass leaves no lock behind that would stop the next one.
func TestPassesFollowEachOtherAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":0,"keep_newest":false}`)
	for range 20 {
		w.ended(t, "inventory_sync", "failed", 1, daysAgo(100), 1)
		w.fold(t)
		require.EqualValues(t, 1, w.retain(t, s))
	}
}

// If a pass is killed, its status shows exactly what it has removed, and that it did not
// end. The next pass removes the rest.
func TestAPassThatDiesIsKnownToHaveDied(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":0}`)
	w.ended(t, "inventory_sync", "succeeded", 5000, daysAgo(91), 100)
	w.fold(t)
	owner, release := w.lockEventsOf(t, "run_id >= (select id from operation_runs order by id offset 2500 limit 1)")
	defer release()
	died := make(chan error, 1)
	go func() {
		_, err := s.Remove(t.Context(), w.db.OwnerURL)
		died <- err
	}()
	require.Eventually(t, func() bool { // it waits for the locks, a fifth of a second for each
		var killed int
		_, err := owner.Exec(t.Context(), "select pg_stat_clear_snapshot()")
		require.NoError(t, err)
		err = owner.QueryRow(t.Context(), `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where application_name = 'operations-retention' and wait_event_type = 'Lock' and datname = current_database()`).Scan(&killed)
		require.NoError(t, err)
		return killed == 1
	}, 30*time.Second, time.Millisecond)
	require.Error(t, <-died)
	release()
	require.Eventually(t, func() bool { // the killed connection reports its end before it releases the lock
		return w.one(t, "select count(*) from pg_stat_activity where application_name = 'operations-retention' and datname = current_database()") == 0
	}, 30*time.Second, time.Millisecond)

	status := w.retention(t, "inventory_sync")
	require.Contains(t, status.LastError, "interrupted")
	require.Nil(t, status.LastPassDuration)
	require.EqualValues(t, 2500, status.RemovedCount)
	require.EqualValues(t, 5000-status.RemovedCount, w.one(t, "select count(*) from operation_runs"))
	require.EqualValues(t, 4900-status.RemovedCount, w.retain(t, s))
	require.Empty(t, w.retention(t, "inventory_sync").LastError)
	require.EqualValues(t, 4900, w.retention(t, "inventory_sync").RemovedCount)
}

// lockEventsOf locks the events that match condition until release is called.
func (w *world) lockEventsOf(t *testing.T, condition string) (owner pgx.Tx, release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "select 1 from run_event where "+condition+" for update")
	require.NoError(t, err)
	return tx, func() { _ = conn.Close(context.WithoutCancel(t.Context())) }
}

// If an old run is locked, or a row that belongs to it, only that run stays, and only until
// the next pass.
func TestARunSomebodyHasLockedIsLeftForTheNextPass(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":0,"keep_newest":false}`)
	w.ended(t, "inventory_sync", "succeeded", 40, daysAgo(91), 4)
	w.fold(t)
	tx, err := w.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }() // a pool does not close on one left open
	_, err = tx.Exec(t.Context(), "select 1 from operation_runs where id = (select min(id) + 2 from operation_runs) for update")
	require.NoError(t, err)
	_, release := w.lockEventsOf(t, "run_id = (select min(id) + 30 from operation_runs)")
	require.EqualValues(t, 38, w.retain(t, s))
	require.Empty(t, w.retention(t, "inventory_sync").LastError)
	require.NoError(t, tx.Rollback(t.Context()))
	release()
	require.EqualValues(t, 2, w.retain(t, s))
}

// A hundred thousand runs are removed, thousands a second, by plans that do not read the
// runs that stay.
func TestRetentionOfMany(t *testing.T) {
	t.Parallel()
	if os.Getenv("TENANTPILOT_BIG") == "" {
		t.Skip("TENANTPILOT_BIG is not set")
	}
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":50}`)
	w.ended(t, "inventory_sync", "succeeded", 100_000, daysAgo(91), 1000)
	w.ended(t, "inventory_sync", "succeeded", 10_000, daysAgo(1), 1000)
	w.exec(t, "analyze")
	w.fold(t)
	start := time.Now()
	require.EqualValues(t, 100_000, w.retain(t, s))
	t.Logf("%.0f runs a second", 100_000/time.Since(start).Seconds())
	require.Less(t, time.Since(start), time.Minute)
}
