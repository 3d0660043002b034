package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// PostgreSQL keeps a plan. A plan made while a table was empty must also be good for the
// thousands of rows, dead and alive, that the table has an hour later.
func TestSharedStatementsGoByKeys(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	owner, err := pgx.Connect(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	_, err = owner.Exec(t.Context(), "vacuum analyze")
	require.NoError(t, err)
	pool, err := pg.Open(t.Context(), db.URL, 1, Settings()...)
	require.NoError(t, err)
	defer pool.Close()
	for name, sql := range map[string]string{
		"start": insertRunsSQL.text, "begin": beginQueuedSQL.text, "report": reportProgressSQL.text, "complete": completeRunningSQL.text,
	} {
		p := genericPlan(t, pool, sql)
		require.NotContains(t, p, "Seq Scan", name)
	}
}

// genericPlan returns the plan of sql for any parameters.
func genericPlan(t *testing.T, pool *pgxpool.Pool, sql string) string {
	t.Helper()
	n := 0
	for strings.Contains(sql, fmt.Sprintf("$%d::", n+1)) {
		n++
	}
	require.Positive(t, n)
	for _, s := range []string{"set plan_cache_mode = force_generic_plan", "deallocate all", "prepare x as " + sql} {
		_, err := pool.Exec(t.Context(), s, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err, s)
	}
	args := strings.TrimSuffix(strings.Repeat("null,", n), ",")
	rows, err := pool.Query(t.Context(), "explain execute x("+args+")", pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// The tables have no foreign keys. So every statement must make sure by itself that it
// writes nothing for a run that was removed a moment ago.
func TestNothingIsWrittenForARunThatHasGone(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", migrate)
	types := run.DefaultTypes()
	s := New(db.Pool, types)
	const gone = 77
	done := run.Completion{Epoch: 1, Outcome: run.Succeeded, Digest: []byte("digest")}
	_, err := s.execCompletes(t.Context(), []completeCall{{service: "inventory", id: gone, Completion: done}})
	require.NoError(t, err)
	_, err = s.execBegins(t.Context(), []beginCall{{service: "inventory", id: gone, holder: "us"}})
	require.NoError(t, err)
	_, err = s.execProgress(t.Context(), []progressCall{{service: "inventory", id: gone, epoch: 1}})
	require.NoError(t, err)
	require.NoError(t, s.keepLate(t.Context(), completeCall{service: "inventory", id: gone, Completion: done}))
	ask := run.Start{WorkspaceID: 1, Type: types["inventory_sync"], Caller: "inventory", RequestID: "said", Digest: []byte("digest")}
	_, err = s.join(t.Context(), ask, &run.Run{ID: gone})
	require.NoError(t, err)
	_, err = s.move(t.Context(), gone, func(*run.Run, time.Time) (*run.Event, error) { panic("called without a run") })
	require.Error(t, err)

	for _, table := range []string{"run_event", "run_lease", "run_request", "run_label"} {
		var n int
		require.NoError(t, db.Pool.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n))
		require.Zero(t, n, table)
	}
}
