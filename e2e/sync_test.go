package e2e

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

const (
	succeeded = "RUN_OUTCOME_SUCCEEDED"
	partially = "RUN_OUTCOME_PARTIALLY_SUCCEEDED"
	failed    = "RUN_OUTCOME_FAILED"
	cancelled = "RUN_OUTCOME_CANCELLED"
)

// few makes a small demo tenant, for tests that need no size.
var few = map[string]int{"configurationPolicies": 6, "deviceConfigurations": 5, "assignmentFilters": 2, "groups": 3}

// The life of a tenant: a first sync, one without changes, one with a changed policy, one with
// a removed policy, and one in which that policy is back.
func TestSyncFollowsTheTenant(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Size: 40, Seed: 7}, noQuotas: true})
	content := f.sim.Tenant(directoryID)

	first := f.sync(t)
	require.Equal(t, succeeded, first.Outcome, "%+v", first.FailureSummary)
	require.Equal(t, "Ada Byron", first.InitiatorName)
	items := f.count(t, "select count(*) from item where removed_time is null")
	require.Equal(t, items, f.count(t, "select count(*) from item_version"))
	require.Positive(t, items)
	for name, c := range f.coverage(t, first.ID) {
		require.True(t, c.Complete, name)
		require.Len(t, content.IDs(name), f.count(t, "select count(*) from item where type = $1", name), name)
	}

	second := f.sync(t)
	require.Equal(t, succeeded, second.Outcome)
	require.Equal(t, items, f.count(t, "select count(*) from item_version"), "an unchanged tenant makes no version")

	id := content.IDs("configurationPolicies")[0]
	require.NoError(t, content.Set("configurationPolicies", id, "description", json.RawMessage(`"changed"`)))
	third := f.sync(t, "configurationPolicies")
	require.Equal(t, "1", f.coverage(t, third.ID)["configurationPolicies"].UpdatedCount)
	require.Equal(t, items+1, f.count(t, "select count(*) from item_version"))

	kept, err := content.Object("configurationPolicies", id)
	require.NoError(t, err)
	settings, err := content.Elements("configurationPolicies", id, "settings")
	require.NoError(t, err)
	require.NoError(t, content.Remove("configurationPolicies", id))
	fourth := f.sync(t, "configurationPolicies")
	require.Equal(t, "1", f.coverage(t, fourth.ID)["configurationPolicies"].RemovedCount)
	require.Equal(t, 1, f.count(t, "select count(*) from item where removed_time is not null and external_id = $1", id))

	back, err := content.Add("configurationPolicies", kept)
	require.NoError(t, err)
	require.Equal(t, id, back)
	require.NoError(t, content.SetElements("configurationPolicies", id, "settings", settings))
	f.sync(t, "configurationPolicies")
	require.Zero(t, f.count(t, "select count(*) from item where removed_time is not null"), "what returns is there again")
}

// A second start while a run is active returns this run.
func TestSecondStartJoinsTheFirst(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true, latency: 300_000_000})
	first := f.startSync(t, "configurationPolicies", "deviceConfigurations")
	second := f.startSync(t, "deviceConfigurations", "configurationPolicies")
	require.Equal(t, first.ID, second.ID, "the order of types is no other selection")
	other := f.startSync(t, "deviceConfigurations")
	require.NotEqual(t, first.ID, other.ID)
	require.Equal(t, succeeded, f.finish(t, first.ID, 60e9).Outcome)
	require.Equal(t, succeeded, f.finish(t, other.ID, 60e9).Outcome)
}

func TestCancelEndsARunningSync(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true, latency: 1_000_000_000})
	r := f.startSync(t)
	require.Eventually(t, func() bool { return f.run(t, r.ID).Status == "RUN_STATUS_RUNNING" }, 20e9, 20e6)
	var answer struct{ Run runJSON }
	f.api.must(t, "POST", "/api/v1/operations/"+r.ID+":cancel", map[string]string{"reason": "wrong tenant"}, &answer)
	require.Equal(t, cancelled, f.finish(t, r.ID, 30e9).Outcome)
}

// Every object is stored byte by byte as Graph sent it, with all its settings.
func TestPoliciesAreStoredByteExact(t *testing.T) {
	t.Parallel()
	const compliance = "?$expand=scheduledActionsForRule($expand=scheduledActionConfigurations)"
	tests := map[string]struct {
		path, query string
		byItem      bool // the list leaves parts out, so the item itself is stored
	}{
		"configurationPolicies":    {path: "configurationPolicies"},
		"deviceConfigurations":     {path: "deviceConfigurations"},
		"deviceCompliancePolicies": {path: "deviceCompliancePolicies", query: compliance},
		"assignmentFilters":        {path: "assignmentFilters"},
		"deviceManagementScripts":  {path: "deviceManagementScripts", byItem: true},
		"deviceHealthScripts":      {path: "deviceHealthScripts", byItem: true},
	}
	counts := map[string]int{}
	for typ := range tests {
		counts[typ] = 12
	}
	f := start(t, options{sim: graphsim.TenantConfig{Counts: counts, Seed: 3}, noQuotas: true})
	require.Equal(t, succeeded, f.sync(t, slices.Sorted(maps.Keys(tests))...).Outcome)
	requireByteExact(t, f, "configurationPolicies", "settings")
	for typ, tt := range tests {
		ids := f.sim.Tenant(directoryID).IDs(typ)
		require.GreaterOrEqual(t, len(ids), 12, typ)
		for _, id := range ids {
			want := f.graphItem(t, "/beta/deviceManagement/"+tt.path+"/"+id+tt.query)
			if !tt.byItem { // an element of a list has no context of its own
				want = regexp.MustCompile(`^{"@odata.context":"[^"]*",`).ReplaceAllLiteralString(want, "{")
			}
			require.Equal(t, want, f.payload(t, typ, id), "%s %s", typ, id)
		}
	}
}

// graphItem returns the simulator's response to a GET, without using the code under test.
func (f *fleet) graphItem(t *testing.T, path string) string {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {secret}, "scope": {"https://graph.microsoft.com/.default"},
	}
	ask := httptest.NewRequestWithContext(t.Context(), "POST", "/"+directoryID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	granted := httptest.NewRecorder()
	f.sim.ServeHTTP(granted, ask)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal(granted.Body.Bytes(), &token), "%s", granted.Body)
	get := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
	get.Header.Set("Authorization", "Bearer "+token.AccessToken)
	answer := httptest.NewRecorder()
	f.sim.ServeHTTP(answer, get)
	require.Equal(t, 200, answer.Code, "%s: %s", path, answer.Body)
	return answer.Body.String()
}

func requireByteExact(t *testing.T, f *fleet, typ string, children ...string) {
	t.Helper()
	content := f.sim.Tenant(directoryID)
	ids := content.IDs(typ)
	require.NotEmpty(t, ids)
	for _, id := range ids {
		for _, collection := range children {
			want, err := content.Elements(typ, id, collection)
			require.NoError(t, err)
			rows, err := f.inventory.Pool.Query(t.Context(), `
				select e.payload from item i join version_element e on e.item_id = i.id and e.version = i.version
				where i.type = $1 and i.external_id = $2 and e.collection = $3 order by e.ordinal`, typ, id, collection)
			require.NoError(t, err)
			var got []json.RawMessage
			for rows.Next() {
				var payload []byte
				require.NoError(t, rows.Scan(&payload))
				got = append(got, payload)
			}
			require.NoError(t, rows.Err())
			require.Equal(t, len(want), len(got), "%s %s %s", typ, id, collection)
			for i := range want {
				require.Equal(t, string(want[i]), string(got[i]), "%s %s %s[%d]", typ, id, collection, i)
			}
		}
	}
}
