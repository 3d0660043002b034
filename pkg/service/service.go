// Package service is a process with a database, made once for every service:
// its settings, commands, migrations, database pool, gRPC server, health and
// loops. A service declares a [Spec] and is wired with a [Process]. The package
// knows no service's business, and it is not for the gateway, which has no database.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
)

// Spec declares a service. C is its settings, a struct that embeds [Config].
type Spec[C configured] struct {
	// Name is the service's name in certificates, logs and metrics. Its database
	// roles are <name>_owner and <name>_app, its environment variables begin with
	// the name in capitals and an underscore.
	Name string
	// Migrations make the service's own tables; see [pg.Migrate]. The process is
	// healthy while the schema is at least as new as they are.
	Migrations fs.FS
	// Fragments make the tables of packages that keep theirs in the service's
	// database, such as work.Migrate. They run before Migrations, in this order.
	Fragments []Fragment
	// Settings are PostgreSQL's, for each connection of the pool.
	Settings []pg.Setting
	// Calls names the services that this one calls. The address of each is in
	// the variable <PREFIX><CALLEE>_TARGET, for example INVENTORY_OPERATIONS_TARGET.
	Calls []string
	// Wire registers the service's methods and adds its loops. Nothing runs before
	// it has returned without an error.
	Wire func(p *Process, cfg C) error
	// Commands are the service's own commands, beside serve and migrate.
	Commands map[string]Command[C]
}

// Fragment brings the tables of one package to the version of this binary, as
// the owner role, and lets appRole use them. It may be repeated, and may run in
// several processes at once.
type Fragment func(ctx context.Context, ownerURL, appRole string) error

// Command is a command of a service's binary. The arguments are those behind
// its name.
type Command[C any] func(ctx context.Context, args []string, cfg C, log *slog.Logger) error

// Main is the service's main function: it runs the command that the process was
// started with, serve if there is none, and ends the process if that fails.
func (s Spec[C]) Main() {
	obs.Main(s.Name, func(ctx context.Context, log *slog.Logger) error { return s.execute(ctx, os.Args[1:], log) })
}

func (s Spec[C]) execute(ctx context.Context, args []string, log *slog.Logger) error {
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	name, rest := "serve", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	if command, ok := s.Commands[name]; ok {
		return command(ctx, rest, cfg, log)
	}
	switch name {
	case "serve":
		return s.Run(ctx, cfg, log)
	case "migrate":
		return s.Migrate(ctx, cfg.common().Database.OwnerURL)
	}
	own := slices.Sorted(maps.Keys(s.Commands))
	return fmt.Errorf("unknown command %q: want one of serve (the default), %s", name, strings.Join(append([]string{"migrate"}, own...), ", "))
}

// Migrate brings the database to the schema that this binary needs, as the owner role.
func (s Spec[C]) Migrate(ctx context.Context, ownerURL string) error {
	if ownerURL == "" {
		return fmt.Errorf("%sOWNER_DATABASE_URL is not set: migrations run as the owner role", s.EnvPrefix())
	}
	for _, migrate := range s.Fragments {
		if err := migrate(ctx, ownerURL, s.Name+"_app"); err != nil {
			return err
		}
	}
	return pg.Migrate(ctx, ownerURL, s.Migrations)
}

// Serve is [Spec.Run] with the settings that the environment gives.
func (s Spec[C]) Serve(ctx context.Context, log *slog.Logger) error {
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	return s.Run(ctx, cfg, log)
}

// Run serves until ctx ends. Then it stops the server and the loops, waits for
// them, and closes what the process holds.
func (s Spec[C]) Run(ctx context.Context, cfg C, log *slog.Logger) error {
	p := &Process{Name: s.Name, Log: log}
	defer p.close()
	if err := s.open(ctx, p, cfg.common()); err != nil {
		return err
	}
	if err := errors.Join(s.Wire(p, cfg), p.wrong); err != nil {
		return err
	}
	return p.run(ctx, func(ctx context.Context) error { return pg.CheckVersion(ctx, p.DB, s.Migrations) })
}
