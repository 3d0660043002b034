// Package operations is the canonical store of operation runs: every background
// job of every service is one run in it. It runs no jobs itself and calls nobody.
package operations

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/api"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/reaper"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/retention"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

// Name is the service's name, in certificates and logs.
const Name = "operations"

// EnvPrefix is what its variables begin with.
const EnvPrefix = "OPERATIONS_"

// Config is what the service is told, by environment after [EnvPrefix].
type Config struct {
	Server   rpc.ServerConfig
	Database pg.Config
	// PageKey seals page tokens; 32 bytes, base64. Replicas share it.
	PageKey string `env:"PAGE_KEY"`
	// RunTypes overrides settings of run types, a JSON object by type name, for
	// example {"inventory_sync":{"lease":"30s","max_attempts":5}}.
	RunTypes string `env:"RUN_TYPES"`
	// ReapEvery is how often overdue runs are looked for.
	ReapEvery time.Duration `env:"REAP_EVERY" envDefault:"2s"`
	// FoldEvery is how often ended runs are added to the statistics; what is not
	// added yet is counted by each call that asks for them.
	FoldEvery time.Duration `env:"FOLD_EVERY"` // 0: 5 s
	// RetainEvery is how often runs that are kept no longer are looked for. They
	// are removed as the owner role: without its database URL, none are.
	RetainEvery time.Duration `env:"RETAIN_EVERY"` // 0: an hour
	// Ungrouped gives every call a commit of its own: what the benchmark measures
	// grouping against, and of no other use.
	Ungrouped bool `env:"UNGROUPED"`
}

// Migrate brings the database to the schema this binary knows.
func Migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, store.Migrations())
}

// Run serves until ctx ends.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	collectLess()
	types, err := run.DefaultTypes().With(cfg.RunTypes)
	if err != nil {
		return err
	}
	pages, err := page.FromConfig(cfg.PageKey, log)
	if err != nil {
		return fmt.Errorf("%sPAGE_KEY: %w", EnvPrefix, err)
	}
	db, err := pg.Open(ctx, cfg.Database.URL, cfg.Database.MaxConns, store.Settings()...)
	if err != nil {
		return err
	}
	defer db.Close()
	server, err := rpc.NewServer(Name, cfg.Server, log)
	if err != nil {
		return err
	}
	st := store.New(db, types)
	if cfg.Ungrouped {
		st.Ungroup()
	}
	server.Metrics().MustRegister(st.Metrics(), pg.Metrics(db))
	hub := watch.New(st, log)
	api.Register(server.Registrar(), st, types, pages, hub)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		hub.Run(ctx)
		return nil
	})
	group.Go(func() error {
		reaper.Run(ctx, st, cfg.ReapEvery, log)
		return nil
	})
	group.Go(func() error {
		statistics.Run(ctx, st, cmp.Or(cfg.FoldEvery, 5*time.Second), log)
		return nil
	})
	group.Go(func() error {
		retention.Run(ctx, st, cfg.Database.OwnerURL, cmp.Or(cfg.RetainEvery, time.Hour), log)
		return nil
	})
	group.Go(func() error {
		return server.Serve(ctx, func(ctx context.Context) error { return pg.CheckVersion(ctx, db, store.Migrations()) })
	})
	return group.Wait()
}

// collectLess trades memory for time unless GOGC or GOMEMLIMIT say otherwise:
// calls are small and what outlives them is a few MiB, of which Go's defaults
// would collect the garbage dozens of times a second under load, for a third of
// all the CPU time.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(512 << 20)
	}
}
