// Package api is inventory's gRPC services: it checks what the protos cannot check,
// and turns messages into domain types and back. It never calls Graph.
package api

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/tenants"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// Config is what the RPCs need.
type Config struct {
	Store     *store.Store
	Schedules *schedule.Store[item.Repeated]
	Worker    *work.Worker
	Runs      operationsv1.RunReaderServiceClient
	Tenants   *tenants.Checker
	Pages     *page.Sealer
	Types     []string // the catalog's names, in the order they are synced
}

// Register adds inventory's services to a server.
func Register(r grpc.ServiceRegistrar, cfg Config) {
	inventoryv1.RegisterInventoryReaderServiceServer(r, &reader{Config: cfg})
	inventoryv1.RegisterInventoryServiceServer(r, &writer{Config: cfg})
}

// reader is InventoryReaderService.
type reader struct {
	inventoryv1.UnsafeInventoryReaderServiceServer
	Config
}

// writer is InventoryService.
type writer struct {
	inventoryv1.UnsafeInventoryServiceServer
	Config
}

// stamp returns t as a message; nil stays absent.
func stamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
