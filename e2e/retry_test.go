package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// Graph denied a sync one type. When the permission is granted, the sync is run again: with
// the same types, in a run of its own that names the first one.
func TestASyncIsRunAgain(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true})
	require.NoError(t, f.sim.SetFaults([]graphsim.Rule{{Path: "/beta/deviceManagement/configurationPolicies", Kind: graphsim.FaultStatus, Status: 403}}))
	first := f.sync(t, "configurationPolicies", "deviceConfigurations")
	require.Equal(t, partially, first.Outcome)

	require.NoError(t, f.sim.SetFaults(nil))
	var again struct {
		Run     runJSON
		Started bool
	}
	f.api.must(t, "POST", f.tenantPath("inventory:sync"), map[string]string{"retry_of": first.ID}, &again)
	require.True(t, again.Started)
	second := f.finish(t, again.Run.ID, 60e9)
	require.Equal(t, succeeded, second.Outcome, "%+v", second.FailureSummary)
	require.Equal(t, first.ID, second.RetryOf)
	require.Equal(t, 1, second.RetryNumber)
	coverage := f.coverage(t, second.ID)
	require.Len(t, coverage, 2, "the types of the first")
	require.True(t, coverage["configurationPolicies"].Complete)

	var found struct{ Runs []runJSON }
	f.api.must(t, "GET", "/api/v1/workspaces/"+f.workspace+"/operations?filter=retry_of%3D"+first.ID, nil, &found)
	require.Len(t, found.Runs, 1)
	require.Equal(t, second.ID, found.Runs[0].ID)

	require.Contains(t, f.page(t, "/operations/"+second.ID), `<a href="/operations/`+first.ID+`">`)
	require.Contains(t, f.page(t, "/operations/"+first.ID), `name="retry_of" value="`+first.ID+`"`)
}

// A run of another workspace cannot be run again, and looks as if it did not exist.
func TestAForeignSyncIsNotRunAgain(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true})
	conn, err := rpc.Dial(f.ports["operations"], "operations", f.client("inventory"), f.log)
	require.NoError(t, err)
	defer conn.Close()
	made, err := operationsv1.NewRunServiceClient(conn).StartRun(t.Context(), &operationsv1.StartRunRequest{WorkspaceId: 4711, Type: "inventory_sync", Holder: "test"})
	require.NoError(t, err)
	again := func(number string) string {
		resp, said := f.api.call(t, "POST", f.tenantPath("inventory:sync"), map[string]string{"retry_of": number})
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, "%s", said)
		require.Contains(t, string(said), `"retry_of"`)
		return strings.ReplaceAll(anonymous(said), "run "+number, "run N")
	}
	require.Equal(t, again("999999"), again(strconv.FormatInt(made.GetRun().GetId(), 10)))
}
