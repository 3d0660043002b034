package pg_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
)

func TestAPoolIsMeasured(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pgtest.Server(t).URL, 2)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	conn, err := db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(pg.Metrics(db)))
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, f := range families {
		found[f.GetName()] = f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
	}
	require.Len(t, found, 8)
	require.EqualValues(t, 2, found["tenantpilot_db_pool_max_connections"])
	require.EqualValues(t, 1, found["tenantpilot_db_pool_used_connections"])
	require.GreaterOrEqual(t, found["tenantpilot_db_pool_acquires_total"], 2.0)
}
