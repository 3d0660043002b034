package e2e

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// A workspace of others, and everything in it, looks as if it did not exist.
func TestForeignLooksMissing(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true})
	r := f.sync(t, "configurationPolicies")
	stranger := f.stranger(t)
	item := "1"
	for _, probe := range []struct{ foreign, missing string }{
		{"/api/v1/operations/" + r.ID, "/api/v1/operations/999999"},
		{"/api/v1/operations/" + r.ID, "/api/v1/operations/not-a-number"},
		{"/api/v1/operations/" + r.ID + "/events", "/api/v1/operations/999999/events"},
		{"/api/v1/workspaces/" + f.workspace, "/api/v1/workspaces/999999"},
		{"/api/v1/workspaces/" + f.workspace + "/operations", "/api/v1/workspaces/999999/operations"},
		{"/api/v1/workspaces/" + f.workspace + "/tenants/" + f.tenant, "/api/v1/workspaces/999999/tenants/" + f.tenant},
		{f.tenantPath("items"), "/api/v1/workspaces/999999/tenants/1/items"},
		{"/api/v1/workspaces/" + f.workspace + "/items/" + item, "/api/v1/workspaces/999999/items/" + item},
	} {
		foreign, foreignBody := stranger.call(t, "GET", probe.foreign, nil)
		missing, missingBody := stranger.call(t, "GET", probe.missing, nil)
		require.Equal(t, http.StatusNotFound, foreign.StatusCode, probe.foreign)
		require.Equal(t, missing.StatusCode, foreign.StatusCode, probe.foreign)
		require.Equal(t, anonymous(missingBody), anonymous(foreignBody), probe.foreign)
		require.Equal(t, missing.Header.Get("Content-Type"), foreign.Header.Get("Content-Type"))
	}
	own, ownBody := f.api.call(t, "GET", "/api/v1/operations/999999", nil)
	_, strangerBody := stranger.call(t, "GET", "/api/v1/operations/"+r.ID, nil)
	require.Equal(t, http.StatusNotFound, own.StatusCode)
	require.Equal(t, anonymous(ownBody), anonymous(strangerBody), "a member's missing run is the same bytes too")
}

var requestIDs = regexp.MustCompile(`[A-Z0-9]{26}|[0-9a-f]{32}|[0-9a-f-]{36}`)

// anonymous returns a body without its request id.
func anonymous(body []byte) string { return requestIDs.ReplaceAllString(string(body), "ID") }

// stranger returns a user of another workspace.
func (f *fleet) stranger(t *testing.T) *api {
	t.Helper()
	conn, err := rpc.Dial(f.ports["tenancy"], "tenancy", f.client("operator"), f.log)
	require.NoError(t, err)
	defer conn.Close()
	made, err := tenancyv1.NewWorkspaceServiceClient(conn).CreateWorkspace(t.Context(), &tenancyv1.CreateWorkspaceRequest{
		DisplayName: "Elsewhere", OwnerDisplayName: "Eve", OwnerEmail: "eve@example.com",
	})
	require.NoError(t, err)
	token, err := tenancyv1.NewApiTokenServiceClient(conn).CreateApiToken(t.Context(), &tenancyv1.CreateApiTokenRequest{
		WorkspaceId: made.Workspace.Id, DisplayName: "test", UserId: &made.Owner.Id,
	})
	require.NoError(t, err)
	return &api{base: f.api.base, token: token.Secret}
}

func (f *fleet) client(name string) rpc.ClientConfig {
	return rpc.ClientConfig{TLSCert: f.ca.CertFile(name), TLSKey: f.ca.KeyFile(name), TLSCA: f.ca.RootFile()}
}

// Mutual TLS decides which services may call, here with real ports and certificates.
func TestServicesNotPermittedAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true})
	conn, err := rpc.Dial(f.ports["tenancy"], "tenancy", f.client("operator"), f.log)
	require.NoError(t, err)
	defer conn.Close()
	_, err = tenancyv1.NewGraphTokenServiceClient(conn).IssueGraphToken(t.Context(), &tenancyv1.IssueGraphTokenRequest{WorkspaceId: 1, TenantId: 1})
	require.Equal(t, "CALLER_NOT_PERMITTED", errs.Reason(err), "%v", err)

	operations, err := rpc.Dial(f.ports["operations"], "operations", f.client("tenancy"), f.log)
	require.NoError(t, err)
	defer operations.Close()
	_, err = operationsv1.NewRunReaderServiceClient(operations).GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: 1})
	require.Equal(t, "CALLER_NOT_PERMITTED", errs.Reason(err), "%v", err)

	impostor, err := rpc.Dial(f.ports["tenancy"], "operations", f.client("inventory"), f.log)
	require.NoError(t, err)
	defer impostor.Close()
	_, err = operationsv1.NewRunReaderServiceClient(impostor).GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: 1})
	require.Error(t, err, "a server with another service's certificate is not believed")
	require.NotEqual(t, "NOT_FOUND", errs.Reason(err))
}
