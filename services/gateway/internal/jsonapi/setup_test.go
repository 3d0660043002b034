package jsonapi

import (
	"net/http/httptest"
	"testing"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// setup serves the API over a new world.
func setup(t *testing.T, more ...func(*web.Config)) (*httptest.Server, *webtest.World) {
	t.Helper()
	site, backends, w := webtest.NewSite(t, nil, more...)
	api, err := New(t.Context(), site, backends, handlers())
	webtest.Must(t, err)
	site.Handle("/api/", web.Limited(api))
	return webtest.Open(t, site), w
}

func handlers() map[string][]Handler {
	return map[string][]Handler{
		"operations": {
			Serve(operationsv1.RegisterRunReaderServiceHandlerClient, operationsv1.NewRunReaderServiceClient),
			Serve(operationsv1.RegisterRunServiceHandlerClient, operationsv1.NewRunServiceClient),
		},
		"tenancy": {
			Serve(tenancyv1.RegisterWorkspaceReaderServiceHandlerClient, tenancyv1.NewWorkspaceReaderServiceClient),
			Serve(tenancyv1.RegisterWorkspaceServiceHandlerClient, tenancyv1.NewWorkspaceServiceClient),
			Serve(tenancyv1.RegisterTenantReaderServiceHandlerClient, tenancyv1.NewTenantReaderServiceClient),
			Serve(tenancyv1.RegisterTenantServiceHandlerClient, tenancyv1.NewTenantServiceClient),
			Serve(tenancyv1.RegisterApiTokenServiceHandlerClient, tenancyv1.NewApiTokenServiceClient),
		},
		"inventory": {
			Serve(inventoryv1.RegisterInventoryReaderServiceHandlerClient, inventoryv1.NewInventoryReaderServiceClient),
			Serve(inventoryv1.RegisterInventoryServiceHandlerClient, inventoryv1.NewInventoryServiceClient),
		},
	}
}
