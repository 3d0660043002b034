package statistics_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
)

const endOne = `with r as (
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, completed_at, max_attempts)
		values (1, 'x', 'inventory_sync', 'completed', 'failed', sha256('x'), clock_timestamp(), 3) returning id)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
	select id, 1, 'completed', 'x', 'completed', 'failed', 1, 1 from r`

// Two replicas fold again and again, and are stopped at any instant: a fold ends
// with its context, and the runs that have ended are folded once.
func TestFoldsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	s := statistics.New(db.Pool)
	folded := func() (n int64) {
		require.NoError(t, db.Pool.QueryRow(t.Context(), "select coalesce(sum(runs), 0)::bigint from run_stat where grain = 'day' and measure = 'outcome'").Scan(&n))
		return n
	}
	for i := range 10 {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		for range 2 {
			go func() {
				var err error
				for err == nil && ctx.Err() == nil {
					_, err = s.Fold(ctx)
				}
				if ctx.Err() == nil {
					t.Errorf("fold: %v", err)
				}
				ended <- struct{}{}
			}()
		}
		_, err := db.Pool.Exec(t.Context(), endOne)
		require.NoError(t, err)
		if i%2 == 0 { // otherwise it is stopped in the middle of anything
			require.Eventually(t, func() bool { return folded() == int64(i+1) }, 30*time.Second, time.Millisecond)
		}
		stop()
		<-ended
		<-ended
	}
}
