// Package inventory is the inventory service: it stores what the configuration of
// tenants looks like, and how completely it was read. It works on its runs in its
// own process, so each replica is a worker.
package inventory

import (
	"context"
	"slices"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/pkg/tenants"
	"github.com/tenantpilot/tenantpilot/pkg/tenants/connect"
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
	Work      work.Settings
	Graph     connect.Settings
	Schedules schedule.Settings
}

// Service is how inventory is run.
var Service = service.Spec[Config]{
	Name: Name, Migrations: store.Migrations(), Fragments: []service.Fragment{work.Migrate, schedule.Migrate},
	Calls: []string{"operations", "tenancy"}, Wire: wire,
}

func wire(p *service.Process, cfg Config) error {
	connector, err := connect.New(p.Dial("tenancy"), cfg.Graph)
	if err != nil {
		return err
	}
	p.Defer(connector.Close)
	rows, types := store.New(p.DB), typeNames()
	worker, err := work.New(work.Config{
		Settings: cfg.Work, Service: Name, Pool: p.DB, Log: p.Log,
		Operations: p.Dial("operations"),
		Jobs:       map[string]work.Job{item.RunType: sync.New(rows, connector, p.Log).Job},
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
		Tenants: tenants.New(p.Dial("tenancy")), Pages: p.Pages, Types: types,
	})
	return nil
}

// typeNames returns the names of the catalog's types, in the order that a sync
// reads them.
func typeNames() []string {
	var names []string
	for _, t := range catalog.Types() {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}
