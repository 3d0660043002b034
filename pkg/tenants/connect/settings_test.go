package connect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/obs"
)

func TestGraphLimits(t *testing.T) {
	t.Setenv("INVENTORY_GRAPH_LIMITS", "deviceConfigV2=500/20s,conditionalAccess=0/1s,rbac.write=50/20s,applications.write=7/1s,applications=70/1s")
	var s Settings
	require.NoError(t, obs.LoadConfig("INVENTORY_", &s))
	g, err := s.Graph()
	require.NoError(t, err)
	want := graph.DefaultConfig()
	require.Equal(t, graph.Limit{Requests: 500, Per: 20 * time.Second}, g.Limits.Workloads[catalog.WorkloadDeviceConfigV2].Any)
	require.Equal(t, want.Limits.Workloads[catalog.WorkloadDeviceConfigV2].Write, g.Limits.Workloads[catalog.WorkloadDeviceConfigV2].Write)
	require.Zero(t, g.Limits.Workloads[catalog.WorkloadConditionalAccess].Any.Requests)
	require.Equal(t, graph.Quota{
		Any: want.Limits.Workloads[catalog.WorkloadRBAC].Any, Write: graph.Limit{Requests: 50, Per: 20 * time.Second},
	}, g.Limits.Workloads[catalog.WorkloadRBAC])
	require.Equal(t, graph.Quota{
		Any: graph.Limit{Requests: 70, Per: time.Second}, Write: graph.Limit{Requests: 7, Per: time.Second},
	}, g.Limits.Workloads[catalog.WorkloadApplications])
	require.Equal(t, want.Concurrency, g.Concurrency)
	require.Equal(t, want.Retry, g.Retry)
}

// The defaults of settings are those of pkg/graph.
func TestGraphDefaults(t *testing.T) {
	t.Parallel()
	var s Settings
	require.NoError(t, obs.Defaults(&s))
	g, err := s.Graph()
	require.NoError(t, err)
	require.Equal(t, graph.DefaultConfig(), g)
}

func TestGraphLimitsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"deviceConfigV2": "500", "deviceConfiguration": "many/20s", "applications": "5/soon", "rbac": "-1/1s", "unheard": "1/1s",
		"unheard.write": "1/1s", "rbac.write": "x", "rbac.read": "1/1s",
	} {
		var s Settings
		require.NoError(t, obs.Defaults(&s))
		s.Limits = map[string]string{name: text}
		_, err := s.Graph()
		require.ErrorContains(t, err, name)
	}
}

func TestGraphTimeout(t *testing.T) {
	t.Setenv("INVENTORY_GRAPH_TIMEOUT", "5s")
	var s Settings
	require.NoError(t, obs.LoadConfig("INVENTORY_", &s))
	g, err := s.Graph()
	require.NoError(t, err)
	require.Equal(t, 5*time.Second, g.Retry.RequestTimeout)
	for _, bad := range []time.Duration{0, -time.Second} {
		s.Timeout = bad
		_, err = s.Graph()
		require.ErrorContains(t, err, "GRAPH_TIMEOUT")
	}
}
