// Package inventory is the inventory service: what tenants' configuration looks
// like, and how completely it was read. It works on its runs in this process;
// more replicas are more workers.
package inventory

import (
	"context"
	"slices"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/api"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/scheduler"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/sync"
)

// Name is the service's name, and the owner of its run type.
const Name = "inventory"

// Config is the service's settings.
type Config struct {
	service.Config
	Work work.Settings

	GraphCA          string        `env:"GRAPH_CA"`                                       // PEM file of an authority to trust beside the system's; for a simulator
	GraphConcurrency int           `env:"GRAPH_CONCURRENCY" envDefault:"8"`               // requests in flight per tenant
	GraphMaxBytes    int64         `env:"GRAPH_MAX_RESPONSE_BYTES" envDefault:"33554432"` // a longer response is refused
	GraphTimeout     time.Duration `env:"GRAPH_TIMEOUT" envDefault:"1m"`                  // of one request, its response included
	// GraphLimits replaces published quotas by workload: "deviceConfigV2=500/20s" of
	// all its requests, "deviceConfigV2.write=50/20s" of the writes among them. A
	// limit of 0 requests means no limit.
	GraphLimits map[string]string `env:"GRAPH_LIMITS" envKeyValSeparator:"="`

	Schedules schedule.Settings
}

// Service is how inventory is run.
var Service = service.Spec[Config]{
	Name: Name, Migrations: store.Migrations(), Fragments: []service.Fragment{work.Migrate, schedule.Migrate},
	Calls: []string{"operations", "tenancy"}, Wire: wire,
}

func wire(p *service.Process, cfg Config) error {
	graphConfig, err := cfg.graph()
	if err != nil {
		return err
	}
	rows, types := store.New(p.DB), typeNames()
	syncer := sync.New(rows, tenancyv1.NewGraphTokenServiceClient(p.Dial("tenancy")), graphConfig, p.Log)
	p.Defer(syncer.Close)
	worker, err := work.New(work.Config{
		Settings: cfg.Work, Service: Name, Pool: p.DB, Log: p.Log,
		Runs: operationsv1.NewRunServiceClient(p.Dial("operations")),
		Jobs: map[string]work.Job{item.RunType: syncer.Job},
	})
	if err != nil {
		return err
	}
	p.Go("worker", worker.Run)
	schedules := schedule.New[item.Repeated](p.DB, "sync schedule")
	slots := &scheduler.Scheduler{Worker: worker, Types: types}
	p.Every(cfg.Schedules.Every, "scheduler", func(ctx context.Context) error { return schedules.Pass(ctx, slots.Start, p.Log) })
	api.Register(p.Server.Registrar(), api.Config{
		Store: rows, Schedules: schedules, Worker: worker, Runs: operationsv1.NewRunReaderServiceClient(p.Dial("operations")),
		Tenants: tenancyv1.NewTenantReaderServiceClient(p.Dial("tenancy")), Pages: p.Pages, Types: types,
	})
	return nil
}

// typeNames are the catalog's, in the order that a sync reads them.
func typeNames() []string {
	var names []string
	for _, t := range graph.Catalog() {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}
