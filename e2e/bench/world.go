package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/services/gateway"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

// The benchmark calls as this service, which owns runType.
const (
	worker  = "inventory"
	runType = "inventory_sync"
)

// masterKey is tenancy's master key, 32 bytes. It seals nothing here.
const masterKey = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

// world is a PostgreSQL server of our own with default settings, the services on it, and a
// workspace with members.
type world struct {
	opts      options
	dir       string
	postgres  *server.Server
	ca        *devca.CA
	fleet     map[string]*process
	runs      *grpc.ClientConn // a connection to operations, as the worker
	workspace string
	members   []member
}

func newWorld(ctx context.Context, o options) (*world, error) {
	w := &world{opts: o, dir: o.dir, fleet: map[string]*process{}}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) prepare(ctx context.Context) (err error) {
	if w.dir == "" {
		if w.dir, err = os.MkdirTemp("", "tp-bench-"); err != nil {
			return err
		}
	}
	if err := measure.OnDisk(w.dir); err != nil {
		return err
	}
	if err := w.certificates(); err != nil {
		return err
	}
	bin, err := server.Find()
	if err != nil {
		return err
	}
	w.postgres, err = server.Start(ctx, server.Options{Dir: w.file("pg"), Bin: bin, Durable: true, Disposable: true})
	if err != nil {
		return err
	}
	if err := w.databases(ctx); err != nil {
		return err
	}
	if err := w.bootstrap(ctx); err != nil {
		return err
	}
	return w.begin(ctx)
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) certificates() (err error) {
	if w.ca, err = devca.Open(w.dir); err != nil {
		return err
	}
	for _, name := range []string{operations.Name, tenancy.Name, gateway.Name, worker} {
		if err := w.ca.Issue(name); err != nil {
			return err
		}
	}
	return devca.ActorKey(w.dir)
}

func (w *world) databases(ctx context.Context) error {
	for name, migrate := range map[string]func(context.Context, string) error{
		operations.Name: operations.Service.Migrate, tenancy.Name: tenancy.Service.Migrate,
	} {
		if err := pg.EnsureDatabase(ctx, w.postgres.URL(), name, name); err != nil {
			return err
		}
		if err := migrate(ctx, w.postgres.As(name+"_owner", name)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) bootstrap(ctx context.Context) error {
	first := tenancy.Bootstrap{Workspace: "Bench", Owner: "Ada Byron", TokenFile: w.file("token")}
	return first.Run(ctx, tenancy.Config{
		Config:    service.Config{Database: pg.Config{URL: w.postgres.As("tenancy_app", tenancy.Name)}},
		MasterKey: masterKey,
	}, slog.New(slog.DiscardHandler))
}

// begin starts the services, and makes the members.
func (w *world) begin(ctx context.Context) (err error) {
	for _, name := range []string{operations.Name, tenancy.Name, gateway.Name} {
		if w.fleet[name], err = w.start(ctx, name); err != nil {
			return err
		}
	}
	w.runs, err = rpc.Dial(w.fleet[operations.Name].address, operations.Name, rpc.ClientConfig{
		TLSCert: w.ca.CertFile(worker), TLSKey: w.ca.KeyFile(worker), TLSCA: w.ca.RootFile(),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return w.invite(ctx)
}

func (w *world) close() error {
	var all []error
	if w.runs != nil {
		all = append(all, w.runs.Close())
	}
	for _, name := range []string{gateway.Name, tenancy.Name, operations.Name} {
		if p := w.fleet[name]; p != nil {
			all = append(all, p.stop())
		}
	}
	if w.postgres != nil {
		_ = w.postgres.Stop(server.Immediate) // its data is deleted
	}
	if w.opts.dir == "" {
		all = append(all, os.RemoveAll(w.dir))
	}
	return errors.Join(all...)
}

// describe prints the machine and the versions: numbers mean nothing without them.
func (w *world) describe(ctx context.Context, out io.Writer) error {
	db, err := pgx.Connect(ctx, w.postgres.URL())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	var version, fsync, sync string
	err = db.QueryRow(ctx, `select current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&version, &fsync, &sync)
	fmt.Fprintf(out, "%s; %s; PostgreSQL %s, fsync %s, synchronous_commit %s; load before: %.2f\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), measure.Machine(), version, fsync, sync, measure.LoadAverage())
	o := w.opts
	fmt.Fprintf(out, "%d run pages and %d workspace streams of %d members; %g runs/s that live %s, with %d bursts of two reports; rounds of %s\n",
		o.pages, o.streams, len(w.members), o.rate, o.life, o.bursts, o.length)
	return err
}
