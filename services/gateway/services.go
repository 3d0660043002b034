package gateway

import (
	"log/slog"

	"google.golang.org/grpc"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/jsonapi"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// Targets are the gRPC addresses of the services behind the gateway, one field for
// each row of the table below.
type Targets struct {
	Operations string `env:"OPERATIONS_TARGET,notEmpty"`
	Tenancy    string `env:"TENANCY_TARGET,notEmpty"`
	Inventory  string `env:"INVENTORY_TARGET,notEmpty"`
}

// service is a row of the table: a service behind the gateway. The gateway dials it,
// asks for its health, and serves the HTTP bindings of its handlers.
type service struct {
	name     string // in certificates, and what the rooms ask for
	target   string
	handlers []jsonapi.Handler // one for each gRPC service with HTTP bindings
}

// services is the table. A page that asks for a service without a row, and a proto
// with HTTP bindings without a handler, keep the gateway from starting.
func (t Targets) services() []service {
	return []service{
		{"operations", t.Operations, []jsonapi.Handler{
			jsonapi.Serve(operationsv1.RegisterRunReaderServiceHandlerClient, operationsv1.NewRunReaderServiceClient),
			jsonapi.Serve(operationsv1.RegisterRunServiceHandlerClient, operationsv1.NewRunServiceClient),
		}},
		{"tenancy", t.Tenancy, []jsonapi.Handler{
			jsonapi.Serve(tenancyv1.RegisterWorkspaceReaderServiceHandlerClient, tenancyv1.NewWorkspaceReaderServiceClient),
			jsonapi.Serve(tenancyv1.RegisterWorkspaceServiceHandlerClient, tenancyv1.NewWorkspaceServiceClient),
			jsonapi.Serve(tenancyv1.RegisterTenantReaderServiceHandlerClient, tenancyv1.NewTenantReaderServiceClient),
			jsonapi.Serve(tenancyv1.RegisterTenantServiceHandlerClient, tenancyv1.NewTenantServiceClient),
			jsonapi.Serve(tenancyv1.RegisterApiTokenServiceHandlerClient, tenancyv1.NewApiTokenServiceClient),
		}},
		{"inventory", t.Inventory, []jsonapi.Handler{
			jsonapi.Serve(inventoryv1.RegisterInventoryReaderServiceHandlerClient, inventoryv1.NewInventoryReaderServiceClient),
			jsonapi.Serve(inventoryv1.RegisterInventoryServiceHandlerClient, inventoryv1.NewInventoryServiceClient),
		}},
	}
}

// handlersOf returns the handlers of the table by service.
func handlersOf(services []service) map[string][]jsonapi.Handler {
	handlers := map[string][]jsonapi.Handler{}
	for _, s := range services {
		handlers[s.name] = s.handlers
	}
	return handlers
}

// dial makes a connection to each service, and returns a function that closes them.
func dial(services []service, cfg rpc.ClientConfig, log *slog.Logger) (web.Backends, func(), error) {
	var conns []*grpc.ClientConn
	closeAll := func() {
		for _, c := range conns {
			c.Close()
		}
	}
	var backends web.Backends
	for _, s := range services {
		conn, err := rpc.Dial(s.target, s.name, cfg, log)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		conns = append(conns, conn)
		backends = append(backends, web.Backend{Name: s.name, Conn: conn})
	}
	return backends, closeAll, nil
}
