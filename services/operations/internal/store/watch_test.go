package store

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// New events are found by the index, whether the table was analyzed or not, and with a
// custom plan as with a generic one.
func TestReadingWhatIsNewDoesNotReadTheRest(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", func(ctx context.Context, ownerURL string) error { return pg.Migrate(ctx, ownerURL, Migrations()) })
	st := New(db.Pool, run.DefaultTypes())
	_, err := db.Pool.Exec(t.Context(), `insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts)
		select 1 + (n % 100 = 0)::int, 'x', 'inventory_sync', 'queued', 'pending', sha256(n::text::bytea), now(), 3 from generate_series(1, 20000) n`)
	require.NoError(t, err)
	_, err = db.Pool.Exec(t.Context(), `insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select id, 1, 'created', 'x', 'queued', 'pending', 0, 0 from operation_runs`)
	require.NoError(t, err)
	now, err := st.Now(t.Context())
	require.NoError(t, err)
	owner, err := pgx.Connect(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	for _, known := range []string{"select 1", "analyze"} {
		_, err := owner.Exec(t.Context(), known)
		require.NoError(t, err)
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			_, err = owner.Exec(t.Context(), "set plan_cache_mode = "+mode)
			require.NoError(t, err)
			plan := planOf(t, owner, eventsBetweenSQL, now.After.Xmax(), []string{"7"}, farthest, 0, now.After.String(), []int64{1}, 250)
			require.Contains(t, plan, "event_by_transaction", "%s, %s:\n%s", known, mode, plan)
			require.NotContains(t, plan, "Seq Scan on run_event", "%s, %s:\n%s", known, mode, plan)
			require.NotContains(t, plan, "Seq Scan on operation_runs", "%s, %s:\n%s", known, mode, plan)
			plan = planOf(t, owner, activeRunsSQL, 2, 0, nil, []string{}, 500)
			require.NotContains(t, plan, "Seq Scan on operation_runs", "%s, %s:\n%s", known, mode, plan)
			plan = planOf(t, owner, snapshotNowSQL, now.After.Xmax(), []string{"7"}, farthest)
			require.NotContains(t, plan, "Seq Scan", "%s, %s:\n%s", known, mode, plan)
		}
	}
}

// planOf returns the plan of a prepared statement.
func planOf(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "explain "+sql, args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}
