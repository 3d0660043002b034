package statistics_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const endOne = `with r as (
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, completed_at, max_attempts)
		values (1, 'x', 'inventory_sync', 'completed', 'failed', sha256('x'), clock_timestamp(), 3) returning id)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
	select id, 1, 'completed', 'x', 'completed', 'failed', 1, 1 from r`

// However often it is started and stopped, beside another or alone, it ends at
// once, and what ended is folded.
func TestTheLoopFoldsAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Migrate)
	s := store.New(db.Pool, run.DefaultTypes())
	folded := func() (n int64) {
		require.NoError(t, db.Pool.QueryRow(t.Context(), "select coalesce(sum(runs), 0)::bigint from run_stat where grain = 'day' and measure = 'outcome'").Scan(&n))
		return n
	}
	for i := range 10 {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		for range 2 {
			go func() {
				statistics.Run(ctx, s, time.Millisecond, slog.New(slog.DiscardHandler))
				ended <- struct{}{}
			}()
		}
		_, err := db.Pool.Exec(t.Context(), endOne)
		require.NoError(t, err)
		if i%2 == 0 { // and else in the middle of anything
			require.Eventually(t, func() bool { return folded() == int64(i+1) }, 30*time.Second, time.Millisecond)
		}
		stop()
		<-ended
		<-ended
	}
}
