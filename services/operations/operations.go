// Package operations is the canonical store of operation runs: every background
// job of every service is one run in it. It runs no jobs itself and calls nobody.
package operations

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/api"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/reaper"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
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
}

// Migrate brings the database to the schema this binary knows.
func Migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, store.Migrations())
}

// Run serves until ctx ends.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	types, err := run.DefaultTypes().With(cfg.RunTypes)
	if err != nil {
		return err
	}
	pages, err := page.FromConfig(cfg.PageKey, log)
	if err != nil {
		return fmt.Errorf("%sPAGE_KEY: %w", EnvPrefix, err)
	}
	db, err := pg.Open(ctx, cfg.Database.URL, cfg.Database.MaxConns)
	if err != nil {
		return err
	}
	defer db.Close()
	server, err := rpc.NewServer(Name, cfg.Server, log)
	if err != nil {
		return err
	}
	st := store.New(db, types)
	api.Register(server.Registrar(), st, types, pages)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		reaper.Run(ctx, st, cfg.ReapEvery, log)
		return nil
	})
	group.Go(func() error {
		return server.Serve(ctx, func(ctx context.Context) error { return pg.CheckVersion(ctx, db, store.Migrations()) })
	})
	return group.Wait()
}
