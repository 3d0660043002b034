package e2e

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// Real exports, if the machine has some: every readable policy is stored byte by byte with all
// its settings, and every unreadable file is named with the reason.
func TestRealExports(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("TENANTPILOT_REAL_DATA")
	if dir == "" {
		t.Skip("TENANTPILOT_REAL_DATA names no folder of exported policies")
	}
	f := start(t, options{sim: graphsim.TenantConfig{Load: []string{dir}}, noQuotas: true})
	report := f.sim.LoadReport()
	for _, rejected := range report.Rejected {
		require.NotEmpty(t, rejected.Path)
		require.NotEmpty(t, rejected.Reason)
		t.Logf("rejected %s: %s", rejected.Path, rejected.Reason)
	}
	first := f.sync(t)
	require.Equal(t, succeeded, first.Outcome, "%+v", first.FailureSummary)
	policies := len(f.sim.Tenant(directoryID).IDs("configurationPolicies"))
	require.Equal(t, policies, f.count(t, "select count(*) from item where type = 'configurationPolicies'"))
	requireByteExact(t, f, "configurationPolicies", "settings")
	requireObjectsByteExact(t, f, "conditionalAccess/policies")
	requireObjectsByteExact(t, f, "conditionalAccess/namedLocations")

	versions := f.count(t, "select count(*) from item_version")
	require.Equal(t, succeeded, f.sync(t).Outcome)
	require.Equal(t, versions, f.count(t, "select count(*) from item_version"))
}

func requireObjectsByteExact(t *testing.T, f *fleet, typ string) {
	t.Helper()
	content := f.sim.Tenant(directoryID)
	for _, id := range content.IDs(typ) {
		want, err := content.Object(typ, id)
		require.NoError(t, err)
		require.Equal(t, string(want), f.payload(t, typ, id), "%s %s", typ, id)
	}
}
