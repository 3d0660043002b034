package store_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

var update = flag.Bool("update", false, "write schema.sql anew")

// schema.sql is the schema after all migrations, for people to read.
func TestSchemaSnapshot(t *testing.T) {
	t.Parallel()
	pgtest.MatchSchema(t, pgtest.New(t, operations.Name, operations.Service.Migrate), "schema.sql", *update)
}

// Whatever the Go code does, these rows cannot be stored.
func TestImpossibleRunsAreUnstorable(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	tests := map[string]string{ // the constraint that is violated, by a change of a queued run
		"outcome = 'succeeded'":                                  "run_pending_iff_active",
		"status = 'completed', completed_at = now()":             "run_pending_iff_active",
		"status = 'completed', outcome = 'failed'":               "run_ended_iff_completed",
		"completed_at = now()":                                   "run_ended_iff_completed",
		"status = 'running', attempt = 1, lease_epoch = 1":       "run_running_has_begun",
		"status = 'running', started_at = now() + interval '1s'": "run_running_has_an_attempt",
		"status = 'paused'":                                      "run_status_is_known",
		"outcome = 'lost'":                                       "run_outcome_is_known",
		"queued_at = null":                                       "run_queued_since_when",
		"type = 'Inventory.Sync'":                                "run_type_is_an_underscore_name",
		"run_identity_hash = 'short'":                            "run_hash_is_sha256",
		"attempt = 4":                                            "run_attempts_in_range",
		"attempt = -1":                                           "run_attempts_in_range",
		"cancel_requested_at = now()":                            "run_cancel_has_an_asker",
		"cancel_requested_at = now(), cancel_requested_by = 'x'": "run_queued_is_not_cancelling",
		"retry_number = 1":                                       "run_retry_has_an_original",
		"released_epoch = 5":                                     "run_epoch_in_range",
		"completion_digest = 'x'":                                "run_digest_only_when_completed",
		"summary_counts = '[]'":                                  "run_counts_are_an_object",
		"failure_summary = '{}'":                                 "run_failures_are_a_list",
		"context = '1'":                                          "run_context_is_an_object",
		"workspace_id = 0":                                       "run_belongs_to_a_workspace",
		"lease_epoch = -1":                                       "run_epoch_never_falls",
		"started_at = created_at - interval '1 second'":          "run_times_are_in_order",
	}
	id := insertQueued(t, db)
	for change, constraint := range tests {
		_, err := db.Pool.Exec(t.Context(), "update operation_runs set "+change+" where id = $1", id)
		require.Equal(t, constraint, pg.Constraint(err), "%s: %v", change, err)
	}
}

func insertQueued(t *testing.T, db *pgtest.DB) int64 {
	t.Helper()
	var id int64
	require.NoError(t, db.Pool.QueryRow(t.Context(), `
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts)
		values (1, 'x', 'inventory_sync', 'queued', 'pending', sha256('x'), now(), 3) returning id`).Scan(&id))
	return id
}

func TestCompletedRunsAndHistoryAreImmutableInSQL(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	id := insertQueued(t, db)
	exec := func(sql string) error {
		_, err := db.Pool.Exec(t.Context(), sql, id)
		return err
	}
	require.NoError(t, exec("insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt) values ($1, 1, 'created', 'x', 'queued', 'pending', 0, 0)"))
	require.NoError(t, exec("update operation_runs set status = 'completed', outcome = 'failed', completed_at = now() where id = $1"))

	for _, change := range []string{"outcome = 'succeeded'", "status = 'queued', outcome = 'pending', completed_at = null", "context = '{\"a\":1}'", "updated_at = now()"} {
		require.Equal(t, "run_completed_is_immutable", pg.Constraint(exec("update operation_runs set "+change+" where id = $1")), change)
	}
	for _, sql := range []string{
		"delete from operation_runs where id = $1", "update run_event set kind = 'x' where run_id = $1",
		"delete from run_event where run_id = $1", "update run_request set digest = '' where run_id = $1",
	} {
		require.ErrorContains(t, exec(sql), "permission denied", sql)
	}
	_, err := db.Pool.Exec(t.Context(), "drop table run_event")
	require.ErrorContains(t, err, "must be owner", "the application role has no DDL")
}

func TestTwoActiveRunsOfOneIdentityAreUnstorable(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, operations.Name, operations.Service.Migrate)
	id := insertQueued(t, db)
	again := `insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts, origin)
		select workspace_id, 'x', type, 'queued', 'pending', run_identity_hash, now(), 3, $2 from operation_runs where id = $1`
	_, err := db.Pool.Exec(t.Context(), again, id, "live")
	require.Equal(t, "run_one_active_per_identity", pg.Constraint(err))
	_, err = db.Pool.Exec(t.Context(), again, id, "legacy")
	require.NoError(t, err, "imported history may hold what was possible then")
}
