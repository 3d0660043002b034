package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// The benchmark calls as this service, which owns runType.
const (
	caller  = "inventory"
	runType = "inventory_sync"
)

// operator is the caller that may read everything.
const operator = "operator"

// world is a PostgreSQL server of our own and a development CA.
type world struct {
	opts     options
	dir      string
	bin      string
	postgres *server.Server
	ca       *devca.CA
	admin    *pgx.Conn // a connection as the superuser
}

func newWorld(ctx context.Context, o options) (*world, error) {
	w := &world{opts: o, dir: o.dir}
	if err := w.prepare(ctx); err != nil {
		w.close()
		return nil, err
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
	if w.ca, err = devca.Open(w.file("ca")); err != nil {
		return err
	}
	for _, name := range []string{operations.Name, caller, operator} {
		if err := w.ca.Issue(name); err != nil {
			return err
		}
	}
	if w.bin, err = server.Find(); err != nil {
		return err
	}
	w.postgres, err = server.Start(ctx, server.Options{
		Dir: w.file("pg"), Bin: w.bin, Durable: true, Disposable: true,
		Settings: map[string]string{"max_connections": "400"}, // for the clients of pgbench; all other settings are defaults
	})
	if err != nil {
		return err
	}
	if w.admin, err = pgx.Connect(ctx, w.postgres.URL()); err != nil {
		return err
	}
	return w.templates(ctx)
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) close() {
	if w.admin != nil {
		_ = w.admin.Close(context.Background()) // the server ends next
	}
	if w.postgres != nil {
		_ = w.postgres.Stop(server.Immediate) // its data is deleted
	}
	if w.opts.dir == "" {
		_ = os.RemoveAll(w.dir)
	}
}

// exec1 runs statements on database as the superuser.
func (w *world) exec1(ctx context.Context, database string, statements ...string) (err error) {
	db, err := pgx.Connect(ctx, w.postgres.As("postgres", database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(ctx)) }()
	for _, s := range statements {
		if _, err := db.Exec(ctx, s); err != nil {
			return fmt.Errorf("%.60s: %w", strings.TrimSpace(s), err)
		}
	}
	return nil
}

// cloned runs f on a copy of template, and drops the copy. So every turn begins with the same
// rows and pages.
func (w *world) cloned(ctx context.Context, template string, f func(database string) error) error {
	const database = "turn"
	for _, s := range []string{
		"drop database if exists " + database + " with (force)",
		"create database " + database + " template " + template,
		"checkpoint", // so that none runs early in the turn
	} {
		if _, err := w.admin.Exec(ctx, s); err != nil {
			return err
		}
	}
	return f(database)
}

// describe prints the machine and the versions: numbers mean nothing without them.
func (w *world) describe(ctx context.Context, out io.Writer) error {
	var version, fsync, sync, buffers string
	err := w.admin.QueryRow(ctx, `select current_setting('server_version'), current_setting('fsync'),
		current_setting('synchronous_commit'), current_setting('shared_buffers')`).Scan(&version, &fsync, &sync, &buffers)
	if err != nil {
		return err
	}
	load := measure.LoadAverage()
	fmt.Fprintf(out, "%s; %s; PostgreSQL %s, fsync %s, synchronous_commit %s, shared_buffers %s; load before: %.2f\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), measure.Machine(), version, fsync, sync, buffers, load)
	if load > 1 {
		fmt.Fprintln(out, "NOTE: something else is using this machine: the numbers are indicative only")
	}
	return nil
}
