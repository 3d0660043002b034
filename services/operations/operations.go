// Package operations is the canonical store of operation runs: every background
// job of every service is one run in it. It runs no jobs and calls no service.
package operations

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/api"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/reaper"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/retention"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

// Name is the service's name.
const Name = "operations"

// Config is the service's settings.
type Config struct {
	service.Config
	// RunTypes overrides settings of run types, a JSON object by type name, for
	// example {"inventory_sync":{"lease":"30s","max_attempts":5}}.
	RunTypes string `env:"RUN_TYPES"`
	// MaxQueued is how many runs of a workspace may be queued at once.
	MaxQueued int `env:"MAX_QUEUED" envDefault:"5000"`
	// ReapEvery is the time between two looks for overdue runs.
	ReapEvery time.Duration `env:"REAP_EVERY" envDefault:"2s"`
	// FoldEvery is the time between two additions of ended runs to the statistics.
	// Until then, each call that asks for statistics counts those runs itself.
	FoldEvery time.Duration `env:"FOLD_EVERY" envDefault:"5s"`
	// RetainEvery is the time between two looks for runs that are kept no longer.
	// The owner role removes them: without its database URL, no run is removed.
	RetainEvery time.Duration `env:"RETAIN_EVERY" envDefault:"1h"`
	// Ungrouped gives every call its own commit. Only the benchmark uses it, to
	// measure what grouping gains.
	Ungrouped bool `env:"UNGROUPED"`
}

// Service is how operations is run.
var Service = service.Spec[Config]{
	Name: Name, Migrations: store.Migrations(), Settings: store.Settings(), Wire: wire,
	Commands: map[string]service.Command[Config]{"bootstrap": bootstrap},
}

func wire(p *service.Process, cfg Config) error {
	collectLess()
	types, err := run.DefaultTypes().With(cfg.RunTypes)
	if err != nil {
		return err
	}
	st := store.New(p.DB, types)
	if cfg.MaxQueued < 1 {
		return fmt.Errorf("OPERATIONS_MAX_QUEUED: %d is less than 1", cfg.MaxQueued)
	}
	st.LimitQueue(cfg.MaxQueued)
	if cfg.Ungrouped {
		st.Ungroup()
	}
	p.Server.Metrics().MustRegister(st.Metrics())
	hub := watch.New(st, p.Log)
	sums, removal := statistics.New(p.DB), retention.New(p.DB, types)
	api.Register(p.Server.Registrar(), api.Parts{Runs: st, Statistics: sums, Retention: removal, Types: types, Pages: p.Pages, Hub: hub})

	p.Go("watch", func(ctx context.Context) error { hub.Run(ctx); return nil })
	p.Every(cfg.ReapEvery, "reaper", func(ctx context.Context) error { return reaper.Pass(ctx, st, p.Log) })
	p.Every(cfg.FoldEvery, "statistics", func(ctx context.Context) error { _, err := sums.Fold(ctx); return err })
	if cfg.Database.OwnerURL == "" {
		p.Log.Warn("retention is off: there is no owner database URL")
		return nil
	}
	p.Every(cfg.RetainEvery, "retention", func(ctx context.Context) error {
		removed, err := removal.Remove(ctx, cfg.Database.OwnerURL)
		if removed > 0 {
			p.Log.InfoContext(ctx, "runs removed", "count", removed)
		}
		return err
	})
	return nil
}

// collectLess trades memory for time, unless GOGC or GOMEMLIMIT say otherwise.
// Calls are small and only a few MiB outlive them: with Go's defaults the
// garbage collector would run dozens of times a second under load, and take a
// third of all the CPU time.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(512 << 20)
	}
}
