package api_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// values returns the counters and gauges of inventory_sync that are not 0.
func values(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if labels["type"] != "inventory_sync" || value == 0 {
				continue
			}
			delete(labels, "type")
			found[fmt.Sprint(f.GetName(), slices.Sorted(maps.Values(labels)))] = value
		}
	}
	return found
}

func TestMetricsCountWhatHappenedToRuns(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, state := range []string{"queued", "running", "requeued", "taken over", "succeeded", "cancelled in the queue", "expired in its last attempt"} {
		w.at(t, state)
	}
	w.reap(t)
	w.exec(t, "update operation_runs set queued_at = now() - interval '90 seconds' where id = 1")
	metrics := w.store.Metrics()
	found := values(t, metrics)
	require.InDelta(t, 90, found["tenantpilot_run_queue_age_seconds[]"], 20)
	delete(found, "tenantpilot_run_queue_age_seconds[]")
	require.Equal(t, map[string]float64{
		"tenantpilot_runs_started_total[]":           7,
		"tenantpilot_lease_expired_total[]":          3,
		"tenantpilot_runs_finished_total[succeeded]": 1,
		"tenantpilot_runs_finished_total[cancelled]": 1,
		"tenantpilot_runs_finished_total[failed]":    1,
		"tenantpilot_runs_active[queued]":            2,
		"tenantpilot_runs_active[running]":           2,
	}, found)
	problems, err := testutil.CollectAndLint(metrics)
	require.NoError(t, err)
	require.Empty(t, problems)

	w.start(t, sync("one more"))
	found = values(t, metrics)
	require.EqualValues(t, 8, found["tenantpilot_runs_started_total[]"])
	require.EqualValues(t, 2, found["tenantpilot_runs_active[queued]"], "the database is not asked at every scrape")

	w.db.Pool.Close() // without the database, counters of this process are still reported
	found = values(t, w.store.Metrics())
	require.EqualValues(t, 8, found["tenantpilot_runs_started_total[]"])
	require.NotContains(t, found, "tenantpilot_runs_active[queued]")
}
