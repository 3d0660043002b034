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
)

// cluster is a PostgreSQL server of our own, with default settings.
type cluster struct {
	*server.Server
	admin *pgx.Conn // a connection as the superuser
}

// world is two clusters and a development CA.
type world struct {
	opts       options
	dir        string
	ca         *devca.CA
	one, other *cluster
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
		if w.dir, err = os.MkdirTemp("", "tp-takeover-"); err != nil {
			return err
		}
	}
	if err := measure.OnDisk(w.dir); err != nil {
		return err
	}
	if w.ca, err = devca.Open(w.file("ca")); err != nil {
		return err
	}
	for _, name := range []string{tenancyName, toolArgument} {
		if err := w.ca.Issue(name); err != nil {
			return err
		}
	}
	if w.one, err = w.start(ctx, "one"); err != nil {
		return err
	}
	w.other, err = w.start(ctx, "other")
	return err
}

func (w *world) start(ctx context.Context, name string) (*cluster, error) {
	bin, err := server.Find()
	if err != nil {
		return nil, err
	}
	s, err := server.Start(ctx, server.Options{Dir: w.file(name), Bin: bin, Durable: !w.opts.short, Disposable: true})
	if err != nil {
		return nil, err
	}
	c := &cluster{Server: s}
	if c.admin, err = pgx.Connect(ctx, s.URL()); err != nil {
		return nil, errors.Join(err, s.Stop(server.Immediate))
	}
	return c, nil
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) close() {
	for _, c := range []*cluster{w.one, w.other} {
		if c != nil {
			_ = c.admin.Close(context.Background()) // the server ends next
			_ = c.Stop(server.Immediate)            // its data is deleted
		}
	}
	if w.opts.dir == "" {
		_ = os.RemoveAll(w.dir)
	}
}

// on runs do on database as the superuser.
func (c *cluster) on(ctx context.Context, database string, do func(*pgx.Conn) error) (err error) {
	conn, err := pgx.Connect(ctx, c.As("postgres", database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	return do(conn)
}

// exec runs statements on database as the superuser.
func (c *cluster) exec(ctx context.Context, database string, statements ...string) error {
	return c.on(ctx, database, func(conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%.60s: %w", strings.TrimSpace(s), err)
			}
		}
		return nil
	})
}

// fresh copies a template, so that every turn begins with the same rows and pages. A copy
// does not take over the owner and privileges of the database itself, so they are set again.
func (c *cluster) fresh(ctx context.Context, database, template, owner string) error {
	for _, s := range []string{
		"drop database if exists " + database + " with (force)",
		"create database " + database + " template " + template + " strategy file_copy owner " + owner,
		"checkpoint", // so that none runs early in the turn
	} {
		if _, err := c.admin.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// forget drops the database of a turn.
func (c *cluster) forget(ctx context.Context, database string) error {
	_, err := c.admin.Exec(ctx, "drop database if exists "+database+" with (force)")
	return err
}

// describe prints the machine and the versions: numbers mean nothing without them.
func (w *world) describe(ctx context.Context, out io.Writer) error {
	var version, fsync, sync, buffers string
	err := w.one.admin.QueryRow(ctx, `select current_setting('server_version'), current_setting('fsync'),
		current_setting('synchronous_commit'), current_setting('shared_buffers')`).Scan(&version, &fsync, &sync, &buffers)
	if err != nil {
		return err
	}
	load := measure.LoadAverage()
	fmt.Fprintf(out, "%s; %s; two servers of PostgreSQL %s, fsync %s, synchronous_commit %s, shared_buffers %s; load before: %.2f\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), measure.Machine(), version, fsync, sync, buffers, load)
	if load > 1 {
		fmt.Fprintln(out, "NOTE: something else is using this machine: the numbers are indicative only")
	}
	return nil
}
