package sync_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/work"
)

const (
	catalogPolicies = "configurationPolicies"
	configurations  = "deviceConfigurations"
	succeeded       = operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED
	partially       = operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED
	failed          = operationsv1.RunOutcome_RUN_OUTCOME_FAILED
)

func TestEverythingIsStoredAsItWasSent(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{catalogPolicies: 130, configurations: 20})
	result := w.sync(t, w.run(t, catalogPolicies, configurations))
	require.Equal(t, succeeded, result.Outcome, result.Failures)
	require.EqualValues(t, 150, result.Counts["created"])
	require.EqualValues(t, 150, result.Counts["total"])
	require.EqualValues(t, 2, result.Counts["types_done"])
	items := w.items(t, false)
	require.Len(t, items, 150)
	for _, i := range items {
		v, elements, err := w.store.Version(t.Context(), i.ID, i.Version)
		require.NoError(t, err)
		sent, err := w.tenant.Object(i.Type, i.ExternalID)
		require.NoError(t, err)
		require.Equal(t, string(sent), string(v.Payload))
		got := map[string][]string{}
		for _, e := range elements {
			require.EqualValues(t, len(got[e.Collection]), e.Ordinal)
			got[e.Collection] = append(got[e.Collection], string(e.Payload))
		}
		want := map[string][]string{}
		for _, collection := range collections(i.Type) {
			raws, err := w.tenant.Elements(i.Type, i.ExternalID, collection)
			require.NoError(t, err)
			for _, raw := range raws {
				want[collection] = append(want[collection], string(raw))
			}
		}
		require.Equal(t, want, got)
	}
}

func collections(typ string) []string {
	if typ == catalogPolicies {
		return []string{"settings", "assignments"}
	}
	return []string{"assignments"}
}

func TestEveryTypeOfTheCatalogIsRead(t *testing.T) {
	t.Parallel()
	var all []string
	counts := map[string]int{}
	for _, typ := range catalog.Types() {
		all, counts[typ.Name] = append(all, typ.Name), 3
	}
	w := setup(t, counts)
	result := w.sync(t, w.run(t, all...))
	require.Equal(t, succeeded, result.Outcome, result.Failures)
	read := map[string]bool{}
	for _, i := range w.items(t, false) {
		read[i.Type] = true
	}
	require.Len(t, read, len(all))
	second := w.sync(t, w.run(t, all...))
	require.Equal(t, second.Counts["processed"], second.Counts["unchanged"])
}

func TestASecondSyncOfAnUnchangedTenantAddsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{catalogPolicies: 30, configurations: 5})
	w.sync(t, w.run(t, catalogPolicies, configurations))
	second := w.run(t, catalogPolicies, configurations)
	result := w.sync(t, second)
	require.Equal(t, succeeded, result.Outcome)
	require.EqualValues(t, 35, result.Counts["unchanged"])
	require.Zero(t, result.Counts["created"]+result.Counts["updated"]+result.Counts["removed"])
	require.Equal(t, 35, w.count(t, "select count(*) from item_version"))
	for _, i := range w.items(t, false) {
		require.Equal(t, second.ID, i.LastSeenRun)
	}
}

func TestAChangeIsOneNewVersion(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 3})
	w.sync(t, w.run(t, configurations))
	id := w.tenant.IDs(configurations)[0]
	require.NoError(t, w.tenant.Rename(configurations, id, "a\u0000 new name"))
	result := w.sync(t, w.run(t, configurations))
	require.EqualValues(t, 1, result.Counts["updated"])
	require.EqualValues(t, 2, result.Counts["unchanged"])
	changed := w.find(t, id)
	require.EqualValues(t, 2, changed.Version)
	require.Equal(t, "a new name", changed.DisplayName)
	versions, err := w.store.Versions(t.Context(), changed.ID, page.Page[int32]{Limit: 10})
	require.NoError(t, err)
	require.Len(t, versions, 2)
	require.NotEqual(t, versions[0].DisplayName, versions[1].DisplayName)
}

func TestOnlyACompleteReadRemoves(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{catalogPolicies: 4, configurations: 4})
	w.sync(t, w.run(t, catalogPolicies, configurations))
	gone, broken := w.tenant.IDs(catalogPolicies)[0], w.tenant.IDs(catalogPolicies)[1]
	require.NoError(t, w.tenant.Remove(catalogPolicies, gone))
	require.NoError(t, w.sim.SetFaults([]graphsim.Rule{{Path: "*" + broken + "/settings", Kind: graphsim.FaultStatus, Status: 403}}))

	result := w.sync(t, w.run(t, catalogPolicies, configurations))
	require.Equal(t, partially, result.Outcome)
	require.Zero(t, result.Counts["removed"])
	require.Len(t, result.Failures, 1)
	require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_PERMISSION, result.Failures[0].GetReason())
	require.Equal(t, catalogPolicies+"/"+broken, result.Failures[0].GetItem())
	require.NotEmpty(t, result.Failures[0].GetRemediation())
	require.NotEmpty(t, result.Failures[0].GetRequestId())
	require.Nil(t, w.find(t, gone).Removed, "unknown, not gone")

	require.NoError(t, w.sim.SetFaults(nil))
	result = w.sync(t, w.run(t, catalogPolicies, configurations))
	require.Equal(t, succeeded, result.Outcome)
	require.EqualValues(t, 1, result.Counts["removed"])
	require.NotNil(t, w.find(t, gone).Removed)
	require.Len(t, w.items(t, false), 7)

	result = w.sync(t, w.run(t, catalogPolicies, configurations))
	require.Zero(t, result.Counts["removed"], "it is removed once")
}

// A list that moves while it is paged may show an object on none of its pages.
func TestAnObjectTheListLeftOutIsKept(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 5})
	w.sync(t, w.run(t, configurations))
	missed, gone := w.tenant.IDs(configurations)[0], w.tenant.IDs(configurations)[3]
	require.NoError(t, w.tenant.Remove(configurations, gone))
	require.NoError(t, w.sim.SetFaults([]graphsim.Rule{{Path: "/beta/deviceManagement/" + configurations, Kind: graphsim.FaultOmit}}))

	r := w.run(t, configurations)
	result := w.sync(t, r)
	require.Equal(t, partially, result.Outcome)
	require.Zero(t, result.Counts["removed"])
	require.Nil(t, w.find(t, missed).Removed, "it is there")
	require.Nil(t, w.find(t, gone).Removed, "a list that left one out tells nothing of the others")
	require.Len(t, result.Failures, 1)
	require.Equal(t, configurations+"/"+missed, result.Failures[0].GetItem())
	coverage, err := w.store.RunCoverage(t.Context(), workspaceID, tenantID, r.ID)
	require.NoError(t, err)
	require.Len(t, coverage, 1)
	require.False(t, coverage[0].Complete)
	require.Equal(t, "dependency", coverage[0].Reason)
	require.Contains(t, coverage[0].Message, "1 that are there")

	require.NoError(t, w.sim.SetFaults(nil))
	result = w.sync(t, w.run(t, configurations))
	require.Equal(t, succeeded, result.Outcome)
	require.EqualValues(t, 1, result.Counts["removed"])
	require.NotNil(t, w.find(t, gone).Removed)
}

func TestNothingIsRemovedThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 5})
	w.sync(t, w.run(t, configurations))
	gone := w.tenant.IDs(configurations)[3]
	require.NoError(t, w.tenant.Remove(configurations, gone))
	require.NoError(t, w.sim.SetFaults([]graphsim.Rule{{Path: "*/" + gone, Kind: graphsim.FaultStatus, Status: 403}}))
	result := w.sync(t, w.run(t, configurations))
	require.Equal(t, partially, result.Outcome)
	require.Len(t, result.Failures, 1)
	require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_PERMISSION, result.Failures[0].GetReason())
	require.Nil(t, w.find(t, gone).Removed)
}

// Objects that are gone for good are not requested one by one.
func TestManyRemovedAreNotAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 60})
	w.sync(t, w.run(t, configurations))
	var asked []graphsim.Rule
	for _, id := range w.tenant.IDs(configurations)[:51] {
		require.NoError(t, w.tenant.Remove(configurations, id))
		asked = append(asked, graphsim.Rule{Path: "*/" + id, Kind: graphsim.FaultStatus, Status: 403})
	}
	require.NoError(t, w.sim.SetFaults(asked))
	result := w.sync(t, w.run(t, configurations))
	require.Equal(t, succeeded, result.Outcome, result.Failures)
	require.EqualValues(t, 51, result.Counts["removed"])
	require.Zero(t, slices.Max(w.sim.Struck()))
}

func TestAnObjectThatComesBackAsItWasGetsNoNewVersion(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 2})
	w.sync(t, w.run(t, configurations))
	id := w.tenant.IDs(configurations)[0]
	raw, err := w.tenant.Object(configurations, id)
	require.NoError(t, err)
	assigned, err := w.tenant.Elements(configurations, id, "assignments")
	require.NoError(t, err)
	require.NoError(t, w.tenant.Remove(configurations, id))
	w.sync(t, w.run(t, configurations))
	require.NotNil(t, w.find(t, id).Removed)

	_, err = w.tenant.Add(configurations, raw)
	require.NoError(t, err)
	require.NoError(t, w.tenant.SetElements(configurations, id, "assignments", assigned))
	result := w.sync(t, w.run(t, configurations))
	require.EqualValues(t, 1, result.Counts["created"])
	back := w.find(t, id)
	require.Nil(t, back.Removed)
	require.EqualValues(t, 1, back.Version)
}

func TestATypeThatFailsFailsAlone(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{catalogPolicies: 3, configurations: 3})
	w.sync(t, w.run(t, catalogPolicies, configurations))
	require.NoError(t, w.sim.SetFaults([]graphsim.Rule{{Path: "*/deviceManagement/" + configurations, Kind: graphsim.FaultStatus, Status: 403}}))
	r := w.run(t, catalogPolicies, configurations)
	result := w.sync(t, r)
	require.Equal(t, partially, result.Outcome)
	require.Len(t, w.items(t, false), 6)
	coverage, err := w.store.RunCoverage(t.Context(), workspaceID, tenantID, r.ID)
	require.NoError(t, err)
	require.Len(t, coverage, 2)
	require.True(t, coverage[0].Complete)
	require.False(t, coverage[1].Complete)
	require.Equal(t, "permission", coverage[1].Reason)

	only := w.sync(t, w.run(t, configurations))
	require.Equal(t, failed, only.Outcome)
	require.Equal(t, configurations, only.Failures[0].GetItem())
}

func TestAWrongSecretEndsTheRunAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 1})
	w.tenancy.setSecret("wrong")
	_, err := w.syncer.Sync(t.Context(), w.run(t, configurations), func(map[string]int64) {})
	f, ok := errors.AsType[*work.Failure](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_TENANT_AUTH, f.Reason)
	require.Equal(t, "Enter a new client secret.", f.Remediation)
	require.NotContains(t, f.Error(), "wrong")
	require.EqualValues(t, 1, w.tenancy.asked.Load())
}

func TestATokenThatIsRefusedIsReplacedOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 1})
	require.NoError(t, w.sim.SetFaults([]graphsim.Rule{{Path: "/beta/*", Kind: graphsim.FaultStatus, Status: 401}}))
	_, err := w.syncer.Sync(t.Context(), w.run(t, configurations, catalogPolicies), func(map[string]int64) {})
	f, ok := errors.AsType[*work.Failure](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_TENANT_AUTH, f.Reason)
	require.LessOrEqual(t, w.tenancy.asked.Load(), int64(3))
}

func TestARunThatIsCalledAgainGoesOn(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{catalogPolicies: 40, configurations: 3})
	r := w.run(t, catalogPolicies, configurations)
	require.NoError(t, w.sim.SetFaults([]graphsim.Rule{{Path: "*/" + catalogPolicies, After: 0, Kind: graphsim.FaultStatus, Status: 403}}))
	require.Equal(t, partially, w.sync(t, r).Outcome)

	require.NoError(t, w.sim.SetFaults(nil))
	w.sim.ResetStats()
	r.Epoch, r.Attempt = 2, 2
	result := w.sync(t, r)
	require.Equal(t, succeeded, result.Outcome)
	require.EqualValues(t, 43, result.Counts["created"], "with what the attempt before created")
	require.Equal(t, 43, w.count(t, "select count(*) from item_version"))
	for call := range w.sim.Stats().Calls {
		require.NotContains(t, call, configurations, "it was read completely before")
	}
}
