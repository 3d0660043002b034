package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// Faults of Graph, and the runs that meet them. A sync waits for a temporary fault to end; a
// permanent one makes its type incomplete. No fault ever removes a policy.
func TestGraphFaults(t *testing.T) {
	t.Parallel()
	const (
		list     = "/beta/deviceManagement/configurationPolicies"
		settings = "/beta/deviceManagement/configurationPolicies/*/settings"
	)
	tests := map[string]struct {
		rule    graphsim.Rule
		outcome string
		reason  string
	}{
		"429 with seconds":     {graphsim.Rule{Path: list, Times: 2, Kind: graphsim.FaultStatus, Status: 429, RetryAfter: 1}, succeeded, ""},
		"429 with a date":      {graphsim.Rule{Path: list, Times: 1, Kind: graphsim.FaultStatus, Status: 429, RetryAfter: 1, AsDate: true}, succeeded, ""},
		"429 without a time":   {graphsim.Rule{Path: list, Times: 2, Kind: graphsim.FaultStatus, Status: 429}, succeeded, ""},
		"500 that passes":      {graphsim.Rule{Path: list, Times: 1, Kind: graphsim.FaultStatus, Status: 500}, succeeded, ""},
		"502 that passes":      {graphsim.Rule{Path: settings, Times: 1, Kind: graphsim.FaultStatus, Status: 502}, succeeded, ""},
		"504 that passes":      {graphsim.Rule{Path: settings, Times: 1, Kind: graphsim.FaultStatus, Status: 504}, succeeded, ""},
		"slow, but right":      {graphsim.Rule{Path: list, Times: 1, Kind: graphsim.FaultSlow, DelayMS: 1500}, succeeded, ""},
		"no response at all":   {graphsim.Rule{Path: list, Times: 1, Kind: graphsim.FaultHang}, succeeded, ""},
		"503 that passes":      {graphsim.Rule{Path: settings, Times: 2, Kind: graphsim.FaultStatus, Status: 503}, succeeded, ""},
		"reset in mid-body":    {graphsim.Rule{Path: list, Times: 2, Kind: graphsim.FaultReset}, succeeded, ""},
		"truncated JSON":       {graphsim.Rule{Path: list, Times: 1, Kind: graphsim.FaultTruncated}, succeeded, ""},
		"HTML with 200":        {graphsim.Rule{Path: list, Times: 1, Kind: graphsim.FaultHTML}, succeeded, ""},
		"an empty page":        {graphsim.Rule{Path: list, Times: 1, Kind: graphsim.FaultEmptyPage}, succeeded, ""},
		"HTML that stays":      {graphsim.Rule{Path: list, Kind: graphsim.FaultHTML}, partially, "FAILURE_REASON_DEPENDENCY"},
		"a looping nextLink":   {graphsim.Rule{Path: list, Kind: graphsim.FaultLoop}, partially, "FAILURE_REASON_DEPENDENCY"},
		"a foreign nextLink":   {graphsim.Rule{Path: list, Kind: graphsim.FaultEvilLink, Host: "evil.example"}, partially, "FAILURE_REASON_DEPENDENCY"},
		"a wrong settingCount": {graphsim.Rule{Path: list, Kind: graphsim.FaultSettingCount}, partially, "FAILURE_REASON_DEPENDENCY"},
		"403 on one type":      {graphsim.Rule{Path: list, Kind: graphsim.FaultStatus, Status: 403}, partially, "FAILURE_REASON_PERMISSION"},
		"400 on all settings":  {graphsim.Rule{Path: settings, Kind: graphsim.FaultStatus, Status: 400}, partially, "FAILURE_REASON_VALIDATION"},
		"an oversize page":     {graphsim.Rule{Path: list, Kind: graphsim.FaultOversize}, partially, "FAILURE_REASON_DEPENDENCY"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, options{sim: graphsim.TenantConfig{Counts: few, Seed: 5}, noQuotas: true, graphTimeout: 4 * time.Second})
			require.Equal(t, succeeded, f.sync(t, "configurationPolicies", "deviceConfigurations").Outcome)
			content := f.sim.Tenant(directoryID)
			gone := content.IDs("configurationPolicies")[0]
			require.NoError(t, content.Remove("configurationPolicies", gone))

			require.NoError(t, f.sim.SetFaults([]graphsim.Rule{tt.rule}))
			r := f.sync(t, "configurationPolicies", "deviceConfigurations")
			require.Equal(t, tt.outcome, r.Outcome, "%+v", r.FailureSummary)
			require.NotZero(t, f.sim.Struck()[0], "the fault was never met")
			coverage := f.coverage(t, r.ID)
			require.True(t, coverage["deviceConfigurations"].Complete, "the other type is not concerned")
			removed := f.count(t, "select count(*) from item where removed_time is not null")
			if tt.outcome == succeeded {
				require.Equal(t, 1, removed)
				return
			}
			require.Zero(t, removed, "an incomplete read removes nothing")
			require.False(t, coverage["configurationPolicies"].Complete)
			require.NotEmpty(t, r.FailureSummary)
			require.Equal(t, tt.reason, r.FailureSummary[0].Reason, "%+v", r.FailureSummary[0])
			require.NotEmpty(t, r.FailureSummary[0].Message)
		})
	}
}

// A wrong secret ends the run at once, with advice, after one request to the authority.
func TestWrongSecretFailsWithoutAStorm(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, secret: "not the secret"})
	r := f.sync(t)
	require.Equal(t, failed, r.Outcome)
	require.Equal(t, "FAILURE_REASON_TENANT_AUTH", r.FailureSummary[0].Reason)
	require.NotEmpty(t, r.FailureSummary[0].Remediation)
	asked := 0
	for call, n := range f.sim.Stats().Calls {
		if call == "POST /{tenant}/oauth2/v2.0/token" {
			asked += n
		}
	}
	require.LessOrEqual(t, asked, 2, "%v", f.sim.Stats().Calls)
	require.Zero(t, f.sim.Stats().Statuses[http.StatusOK]-f.discoveries(), "nothing but discovery succeeded")
}

// discoveries returns the number of requests for the authority's metadata, which need no
// secret.
func (f *fleet) discoveries() int {
	n := 0
	for call, times := range f.sim.Stats().Calls {
		if call == "GET /{tenant}/v2.0/.well-known/openid-configuration" {
			n += times
		}
	}
	return n
}
