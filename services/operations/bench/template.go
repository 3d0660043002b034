package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// The databases that turns begin with.
const (
	runsTemplate  = "runs"
	bareTemplate  = "bare"
	riverTemplate = "river"
)

// A table of one row a run, such as a team would write by hand.
const bareTable = `
	create table run (
		id bigint generated always as identity primary key,
		tenant_id bigint not null,
		type text not null,
		status text not null,
		outcome text not null,
		run_identity_hash bytea not null,
		context jsonb not null,
		summary_counts jsonb not null default '{}',
		created_at timestamptz not null default now(),
		completed_at timestamptz
	);
	create index on run (tenant_id, created_at);
	create index on run (type, status);
	create unique index on run (tenant_id, type, run_identity_hash) where status <> 'completed';
	insert into run (tenant_id, type, status, outcome, run_identity_hash, context, completed_at)
	select 5, 'inventory_sync', 'completed', 'succeeded', sha256(n::text::bytea), '%s', now() from generate_series(1, %d) n`

func (w *world) templates(ctx context.Context) error {
	if err := w.runsDatabase(ctx, runsTemplate, w.opts.seed); err != nil {
		return fmt.Errorf("seed runs: %w", err)
	}
	for _, name := range []string{bareTemplate, riverTemplate} {
		if _, err := w.admin.Exec(ctx, "create database "+name); err != nil {
			return err
		}
	}
	if err := w.exec1(ctx, bareTemplate, fmt.Sprintf(bareTable, contextJSON, w.opts.seed), "vacuum analyze"); err != nil {
		return fmt.Errorf("seed bare table: %w", err)
	}
	return w.migrateRiver(ctx)
}

// runsDatabase makes a database with the schema of the service and so many completed runs of
// the last 90 days.
func (w *world) runsDatabase(ctx context.Context, name string, rows int) error {
	if err := pg.EnsureDatabase(ctx, w.postgres.URL(), operations.Name, name); err != nil {
		return err
	}
	if err := operations.Service.Migrate(ctx, w.postgres.As("operations_owner", name)); err != nil {
		return err
	}
	if err := w.seed(ctx, name, rows); err != nil {
		return err
	}
	if err := w.settle(ctx, name, rows); err != nil {
		return err
	}
	return w.exec1(ctx, name, "vacuum analyze", "checkpoint")
}

func (w *world) migrateRiver(ctx context.Context) error {
	db, err := pgxpool.New(ctx, w.postgres.As("postgres", riverTemplate))
	if err != nil {
		return err
	}
	defer db.Close()
	m, err := rivermigrate.New(riverpgxv5.New(db), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate River: %w", err)
	}
	return nil
}
