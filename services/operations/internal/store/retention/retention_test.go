package retention

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/storetest"
)

// A statement that looks for runs to remove costs what it returns, not what is stored.
func TestRetentionReadsWhatItNeeds(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "operations", storetest.Migrate)
	storetest.SeedMany(t, db)
	_, err := statistics.New(db.Pool).Fold(t.Context())
	require.NoError(t, err)
	storetest.Vacuum(t, db)
	storetest.Exec(t, db.Pool, storetest.SeedEnded, 20)

	tx, err := db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	days := time.Now().UTC().AddDate(0, 0, -20)
	for name, q := range map[string]struct {
		sql     string
		args    []any
		buffers int
	}{
		"kept":       {keptFromSQL, []any{1, "inventory_sync", 99}, 150},
		"old runs":   {listOldRunsSQL, []any{1, "inventory_sync", time.Time{}, 0, days, 0, days, true, 100}, 2500},
		"workspaces": {listWorkspacesSQL, nil, 60},
	} {
		storetest.RequireCost(t, tx, name, q.buffers, q.sql, q.args...)
	}
}
