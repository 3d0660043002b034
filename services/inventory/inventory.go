// Package inventory is the inventory service: what tenants' configuration looks
// like, and how completely it was read. It works on its runs in this process;
// more replicas are more workers.
package inventory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/api"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/scheduler"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/sync"
)

// Name is the service's, in certificates, logs and the run type's owner.
const Name = "inventory"

// EnvPrefix is that of the environment variables [Config] is read from.
const EnvPrefix = "INVENTORY_"

const appRole = "inventory_app"

// Config is the service's settings, by environment after [EnvPrefix].
type Config struct {
	Server   rpc.ServerConfig
	Database pg.Config

	PageKey          string `env:"PAGE_KEY"` // base64 of 32 bytes, the same in all replicas
	OperationsTarget string `env:"OPERATIONS_TARGET"`
	TenancyTarget    string `env:"TENANCY_TARGET"`

	GraphCA          string        `env:"GRAPH_CA"`                 // PEM file beside the system's authorities; for a simulator
	GraphConcurrency int           `env:"GRAPH_CONCURRENCY"`        // requests in flight per tenant; 0 is the library's choice
	GraphMaxBytes    int64         `env:"GRAPH_MAX_RESPONSE_BYTES"` // the same
	GraphTimeout     time.Duration `env:"GRAPH_TIMEOUT"`            // of one request, answer included; the same
	// GraphLimits replaces published quotas by workload: "deviceConfigV2=500/20s" of
	// all its requests, "deviceConfigV2.write=50/20s" of the writes among them. No
	// requests at all mean no limit.
	GraphLimits map[string]string `env:"GRAPH_LIMITS" envKeyValSeparator:"="`

	Workers       int           `env:"WORKERS"`   // runs at once; 0 here and below is the default of pkg/work
	Heartbeat     time.Duration `env:"HEARTBEAT"` // between two signs of life of a run
	Sweep         time.Duration `env:"SWEEP"`     // between two looks for runs nobody was woken for
	ScheduleEvery time.Duration `env:"SCHEDULE_EVERY" envDefault:"5s"`
}

// Migrate brings the database to this binary's schema, as its owner.
func Migrate(ctx context.Context, ownerURL string) error {
	if err := pg.Migrate(ctx, ownerURL, store.Migrations()); err != nil {
		return err
	}
	return work.Migrate(ctx, ownerURL, appRole)
}

// Run serves and works until ctx ends, then gives its runs back and returns.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	db, err := pg.Open(ctx, cfg.Database.URL, cfg.Database.MaxConns)
	if err != nil {
		return err
	}
	defer db.Close()
	clients := rpc.ClientConfig{TLSCert: cfg.Server.TLSCert, TLSKey: cfg.Server.TLSKey, TLSCA: cfg.Server.TLSCA}
	operations, err := rpc.Dial(cfg.OperationsTarget, "operations", clients, log)
	if err != nil {
		return err
	}
	defer operations.Close() // nothing is lost with it
	tenancy, err := rpc.Dial(cfg.TenancyTarget, "tenancy", clients, log)
	if err != nil {
		return err
	}
	defer tenancy.Close() // as above
	s, err := assemble(cfg, db, operations, tenancy, log)
	if err != nil {
		return err
	}
	defer s.syncer.Close()
	return s.run(ctx)
}

// service is the parts of a running inventory.
type service struct {
	db        *pgxpool.Pool
	syncer    *sync.Syncer
	worker    *work.Worker
	scheduler *scheduler.Scheduler
	server    *rpc.Server
}

func assemble(cfg Config, db *pgxpool.Pool, operations, tenancy grpc.ClientConnInterface, log *slog.Logger) (*service, error) {
	graphConfig, err := cfg.graph()
	if err != nil {
		return nil, err
	}
	pages, err := page.FromConfig(cfg.PageKey, log)
	if err != nil {
		return nil, fmt.Errorf("%sPAGE_KEY: %w", EnvPrefix, err)
	}
	s := &service{db: db}
	rows := store.New(db)
	s.syncer = sync.New(rows, tenancyv1.NewGraphTokenServiceClient(tenancy), graphConfig, log)
	s.worker, err = work.New(work.Config{
		Service: Name, Pool: db, Runs: operationsv1.NewRunServiceClient(operations), Log: log,
		Jobs:       map[string]work.Job{item.RunType: s.syncer.Job},
		MaxWorkers: cfg.Workers, Heartbeat: cfg.Heartbeat, Sweep: cfg.Sweep,
	})
	if err != nil {
		return nil, err
	}
	types := typeNames()
	s.scheduler = &scheduler.Scheduler{Store: rows, Worker: s.worker, Types: types, Every: cmp.Or(cfg.ScheduleEvery, 5*time.Second), Log: log}
	if s.server, err = rpc.NewServer(Name, cfg.Server, log); err != nil {
		return nil, err
	}
	s.server.Metrics().MustRegister(pg.Metrics(db))
	api.Register(s.server.Registrar(), api.Config{
		Store: rows, Worker: s.worker, Runs: operationsv1.NewRunReaderServiceClient(operations),
		Tenants: tenancyv1.NewTenantReaderServiceClient(tenancy), Pages: pages, Types: types,
	})
	return s, nil
}

func (s *service) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.server.Serve(ctx, s.healthy) })
	group.Go(func() error { return s.worker.Run(ctx) })
	group.Go(func() error { s.scheduler.Run(ctx); return nil })
	return group.Wait()
}

func (s *service) healthy(ctx context.Context) error {
	return pg.CheckVersion(ctx, s.db, store.Migrations())
}

// typeNames are the catalog's, in the order a sync reads them.
func typeNames() []string {
	var names []string
	for _, t := range graph.Catalog() {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}
