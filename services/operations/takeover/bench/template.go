package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
)

// The databases that turns begin with, after adopt.
const (
	legacyAdopted = "legacy_adopted"
	runsAdopted   = "operations_adopted" // on each server
	bothAdopted   = "both_adopted"       // the legacy database, with the tables of operations in a schema of their own
)

// Their owners.
const (
	legacyOwner = "legacy_owner"
	runsOwner   = "operations_owner"
)

// besideSchema is the schema of the runs in [bothAdopted].
const besideSchema = "beside"

// templates fills the legacy database and runs adopt with the tool.
func (w *world) templates(ctx context.Context, out io.Writer) error {
	if err := w.fill(ctx, out); err != nil {
		return fmt.Errorf("fill the legacy database: %w", err)
	}
	for _, c := range []*cluster{w.one, w.other} {
		if err := pg.EnsureDatabase(ctx, c.URL(), operations.Name, runsAdopted); err != nil {
			return err
		}
		if err := operations.Service.Migrate(ctx, c.As(runsOwner, runsAdopted)); err != nil {
			return err
		}
	}
	if err := w.adopt(ctx, out); err != nil {
		return err
	}
	if err := w.copyTables(ctx, destination{w.other, runsAdopted, "public"}); err != nil {
		return fmt.Errorf("to the other server: %w", err)
	}
	if err := w.placeBeside(ctx); err != nil {
		return fmt.Errorf("into the legacy database: %w", err)
	}
	for _, d := range []destination{{w.one, legacyAdopted, ""}, {w.one, runsAdopted, ""}, {w.one, bothAdopted, ""}, {w.other, runsAdopted, ""}} {
		if err := d.exec(ctx, d.database, "vacuum analyze"); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) fill(ctx context.Context, out io.Writer) error {
	if err := pg.EnsureDatabase(ctx, w.one.URL(), "legacy", legacyAdopted); err != nil {
		return err
	}
	began := time.Now()
	conn, err := pgx.Connect(ctx, w.one.As(legacyOwner, legacyAdopted))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the connection is not needed any more
	if err := fixture.Create(ctx, conn); err != nil {
		return err
	}
	o := fixture.Options{Rows: w.opts.rows, Linked: w.opts.linked, Seed: w.opts.seed, Tidy: true, Memberships: true}
	if err := fixture.Fill(ctx, conn, o); err != nil {
		return err
	}
	var size string
	if err := conn.QueryRow(ctx, "select pg_size_pretty(pg_database_size(current_database()))").Scan(&size); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d legacy rows in four tables, %d per hundred linked: %s, filled in %.0f s\n",
		w.opts.rows, w.opts.linked, size, time.Since(began).Seconds())
	return nil
}

func (w *world) adopt(ctx context.Context, out io.Writer) error {
	return w.withTenancy(ctx, func(address string) error {
		at := place{legacy: w.one.As(legacyOwner, legacyAdopted), operations: w.one.As(runsOwner, runsAdopted), tenancy: address}
		s, err := w.takeover(ctx, at, "adopt")
		if err != nil {
			return err
		}
		var runs int64
		err = w.one.on(ctx, runsAdopted, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "select count(*) from operation_runs").Scan(&runs)
		})
		fmt.Fprintf(out, "%-34s %9d runs %8.1f s %8.0f rows/s, tool at most %s\n", "adopt", runs, s.elapsed.Seconds(),
			float64(runs)/s.elapsed.Seconds(), mebibytes(s.memory))
		return err
	})
}

// placeBeside makes the tables of operations, with all their rows, in a copy of the
// legacy database.
func (w *world) placeBeside(ctx context.Context) error {
	if err := w.one.fresh(ctx, bothAdopted, legacyAdopted, legacyOwner); err != nil {
		return err
	}
	if err := w.one.exec(ctx, bothAdopted, "create schema "+besideSchema); err != nil {
		return err
	}
	u, err := url.Parse(w.one.As("postgres", bothAdopted))
	if err != nil {
		return err
	}
	query := u.Query()
	query.Set("search_path", besideSchema)
	u.RawQuery = query.Encode()
	if err := operations.Service.Migrate(ctx, u.String()); err != nil {
		return err
	}
	// Else the trigger's function would find the legacy tables first.
	err = w.one.exec(ctx, bothAdopted, "alter function "+besideSchema+".run_labels_its_reasons() set search_path = "+besideSchema)
	if err != nil {
		return err
	}
	return w.copyTables(ctx, destination{w.one, bothAdopted, besideSchema})
}

// destination is a schema with the tables of operations.
type destination struct {
	*cluster
	database, schema string
}

// in puts the schema of d into a statement, for {runs}.
func (d destination) in(sql string) string { return strings.ReplaceAll(sql, "{runs}", d.schema) }

const readTables = `
	select quote_ident(tablename) from pg_tables where schemaname = 'public' and tablename <> 'goose_db_version'`

// copyTables copies the rows of [runsAdopted] into d.
func (w *world) copyTables(ctx context.Context, d destination) error {
	return w.one.on(ctx, runsAdopted, func(from *pgx.Conn) error {
		return d.on(ctx, d.database, func(to *pgx.Conn) error {
			if _, err := to.Exec(ctx, "set session_replication_role = replica"); err != nil { // no triggers: what they wrote is copied too
				return err
			}
			rows, err := from.Query(ctx, readTables)
			if err != nil {
				return err
			}
			tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			for _, table := range tables {
				if err := copyTable(ctx, from, to, table, d.schema+"."+table); err != nil {
					return fmt.Errorf("copy %s: %w", table, err)
				}
			}
			return nil
		})
	})
}

func copyTable(ctx context.Context, from, to *pgx.Conn, source, target string) error {
	if _, err := to.Exec(ctx, "truncate "+target+" cascade"); err != nil {
		return err
	}
	return pipe(ctx, from, to, "copy "+source+" to stdout (format binary)", "copy "+target+" from stdin (format binary)")
}
