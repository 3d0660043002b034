// Package storetest is what tests of the rooms below store share: a schema, runs
// that ended, and what a statement costs.
package storetest

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Migrate brings the schema of a database of operations up to date.
func Migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, store.Migrations())
}

// SeedEnded inserts $1 runs under a thousand identities that ended one a minute
// until now, half of them in workspace 1, half in workspace 2.
const SeedEnded = `with r as (
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash,
			created_at, updated_at, queued_at, started_at, completed_at, attempt, lease_epoch, max_attempts, event_count)
		select 1 + i % 2, 'x', (array['inventory_sync', 'entra_group_sync', 'restore_preview'])[1 + i % 3], 'completed', 'succeeded',
			sha256(convert_to((i % 1000)::text, 'UTF8')), e.at - interval '1 second', e.at, e.at, e.at - interval '1 second', e.at, 1, 1, 3, 1
		from generate_series($1::int, 1, -1) i, lateral (select now() - make_interval(mins => i) as at) e
		returning id, status, outcome)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
	select id, 1, 'completed', 'inventory', status, outcome, 1, 1 from r`

// SeedMany inserts 40,000 ended runs, or a million if TENANTPILOT_BIG is set, and
// returns how many.
func SeedMany(t *testing.T, db *pgtest.DB) int {
	t.Helper()
	n := 40_000
	if os.Getenv("TENANTPILOT_BIG") != "" {
		n = 1_000_000
	}
	asOwner(t, db, SeedEnded, n)
	Vacuum(t, db)
	return n
}

// Vacuum vacuums and analyzes db.
func Vacuum(t *testing.T, db *pgtest.DB) {
	t.Helper()
	asOwner(t, db, "vacuum analyze")
}

// asOwner executes sql as the owner role, for whom no statement timeout is set.
func asOwner(t *testing.T, db *pgtest.DB, sql string, args ...any) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	defer func() { require.NoError(t, owner.Close(t.Context())) }()
	_, err = owner.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// Exec executes sql.
func Exec(t *testing.T, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// RequireCost requires that sql touches at most so many blocks. What it writes is
// rolled back.
func RequireCost(t *testing.T, tx pgx.Tx, name string, buffers int, sql string, args ...any) {
	t.Helper()
	explain(t, tx, sql, args) // the first time, the connection also reads the catalog
	used, plan := explain(t, tx, sql, args)
	t.Logf("%s: %d buffers", name, used)
	require.LessOrEqual(t, used, buffers, "%s\n%s", name, plan)
}

// explain executes sql and returns how many blocks it touched, and its plan.
func explain(t *testing.T, tx pgx.Tx, sql string, args []any) (buffers int, plan string) {
	t.Helper()
	sp, err := tx.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, sp.Rollback(t.Context())) }()
	sql = strings.TrimSpace(sql)
	var raw []byte
	require.NoError(t, sp.QueryRow(t.Context(), "explain (analyze, buffers, format json) "+sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...).Scan(&raw))
	var plans []struct {
		Plan map[string]any
	}
	require.NoError(t, json.Unmarshal(raw, &plans))
	return int(plans[0].Plan["Shared Hit Blocks"].(float64) + plans[0].Plan["Shared Read Blocks"].(float64)), string(raw)
}
