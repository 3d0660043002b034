package operations_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// reserve executes the bootstrap command and returns its output.
func reserve(t *testing.T, db *pgtest.DB, n int64) (string, error) {
	t.Helper()
	var log bytes.Buffer
	err := operations.Bootstrap{ReserveRunIDs: n}.Run(t.Context(), db.OwnerURL, slog.New(slog.NewTextHandler(&log, nil)))
	return log.String(), err
}

// started starts a run and returns its id.
func started(t *testing.T, db *pgtest.DB) (id int64) {
	t.Helper()
	err := db.Pool.QueryRow(t.Context(), `
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts)
		values (1, 'Ada', 'inventory_sync', 'queued', 'pending', sha256(gen_random_uuid()::text::bytea), now(), 3) returning id`).Scan(&id)
	if err != nil {
		t.Errorf("start: %v", err)
	}
	return id
}

func TestReserveRunIDs(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	for _, step := range []struct {
		n    int64
		says string
	}{
		{1, "next_run_id=2"},
		{1, "nothing changed\" reserved=1 next_run_id=2"},
		{1000, "next_run_id=1001"},
		{1000, "nothing changed\" reserved=1000 next_run_id=1001"},
		{7, "nothing changed\" reserved=7 next_run_id=1001"},
	} {
		said, err := reserve(t, db, step.n)
		require.NoError(t, err)
		require.Contains(t, said, step.says)
	}
	require.EqualValues(t, 1001, started(t, db))
	said, err := reserve(t, db, 1000)
	require.NoError(t, err, "what is reserved stays so when runs have started after it")
	require.Contains(t, said, "next_run_id=1002")

	_, err = reserve(t, db, 2000)
	require.ErrorContains(t, err, "run 1001 started here")
	require.EqualValues(t, 1002, started(t, db), "what was refused moved nothing")
}

// The application role must not change the sequence. Without a URL, the command must not
// connect to a default server.
func TestReserveRunIDsAsTheOwnerOnly(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	for url, want := range map[string]string{db.URL: "permission denied", "": "no owner database URL"} {
		err := operations.Bootstrap{ReserveRunIDs: 5}.Run(t.Context(), url, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, want)
	}
	require.EqualValues(t, 1, started(t, db))
}

// A run of an older TenantPilot keeps its id, for which the ids were reserved.
func TestReserveRunIDsAgainAfterTheTakeover(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	_, err := reserve(t, db, 1<<47)
	require.NoError(t, err)
	_, err = db.Pool.Exec(t.Context(), `
		insert into operation_runs (id, workspace_id, initiator_name, type, status, outcome, run_identity_hash, completed_at, max_attempts, origin)
		values (5, 1, 'Ada', 'inventory_sync', 'completed', 'failed', sha256('x'), now(), 1, 'legacy')`)
	require.NoError(t, err)
	said, err := reserve(t, db, 1<<47)
	require.NoError(t, err)
	require.Contains(t, said, "nothing changed")
}

// Runs that start at the same time get ids after the reserved ones, or the command is
// refused. No id is used twice.
func TestReserveRunIDsWhileRunsStart(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	var group sync.WaitGroup
	var refused error
	for range 4 {
		group.Go(func() {
			for range 20 {
				started(t, db)
			}
		})
	}
	group.Go(func() { _, refused = reserve(t, db, 1_000_000) })
	group.Wait()
	var within int
	require.NoError(t, db.Pool.QueryRow(t.Context(), "select count(*) from operation_runs where id <= 1000000").Scan(&within))
	require.Equal(t, within > 0, refused != nil, "%d runs within, %v", within, refused)
}

func TestParseBootstrap(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args string
		want string // the error
	}{
		"one":           {"--reserve-run-ids 1", ""},
		"most":          {"-reserve-run-ids=140737488355328", ""},
		"nothing":       {"", "between 1 and"},
		"none":          {"--reserve-run-ids 0", "between 1 and"},
		"negative":      {"--reserve-run-ids=-5", "between 1 and"},
		"one too many":  {"--reserve-run-ids 140737488355329", "between 1 and"},
		"not a number":  {"--reserve-run-ids many", "invalid value"},
		"something too": {"--reserve-run-ids 5 more", "not a flag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := operations.ParseBootstrap(strings.Fields(test.args))
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}
