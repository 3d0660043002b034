package work

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Migrate brings River's tables, in a schema of their own, to the version of this
// binary, as the owner role, and lets appRole work with them. It may be repeated,
// also by several processes at once.
func Migrate(ctx context.Context, ownerURL, appRole string) error {
	db, err := pgxpool.New(ctx, ownerURL)
	if err != nil {
		return fmt.Errorf("migrate River: %w", err)
	}
	defer db.Close()
	lock, err := db.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate River: %w", err)
	}
	defer lock.Release()
	if err := migrate(ctx, db, lock.Conn(), appRole); err != nil {
		return fmt.Errorf("migrate River: %w", err)
	}
	return nil
}

// migrate holds an advisory lock on a connection of its own: the session's end
// frees it, whatever happens.
func migrate(ctx context.Context, db *pgxpool.Pool, lock *pgx.Conn, appRole string) error {
	const key = 0x72697665 // "rive"
	if _, err := lock.Exec(ctx, "select pg_advisory_lock($1)", key); err != nil {
		return err
	}
	defer func() { _ = lock.Close(context.WithoutCancel(ctx)) }()
	if _, err := db.Exec(ctx, "create schema if not exists "+schema); err != nil {
		return err
	}
	m, err := rivermigrate.New(riverpgxv5.New(db), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, slipWaiting); err != nil {
		return err
	}
	return grant(ctx, db, appRole)
}

// slipWaiting is the index by which [fetch] finds whose slips wait.
const slipWaiting = `-- work.slipWaiting
	create index if not exists slip_waiting on river.river_job (queue, (` + slipWorkspace + `), (` + slipTenant + `), ` + slipRun + `)
	where state = 'available' and kind = 'run'`

// grant names the role, which PostgreSQL does not take as a parameter.
func grant(ctx context.Context, db *pgxpool.Pool, appRole string) error {
	role := pgx.Identifier{appRole}.Sanitize()
	for _, what := range []string{
		"usage on schema " + schema,
		"select, insert, update, delete on all tables in schema " + schema,
		"usage, select on all sequences in schema " + schema,
		"execute on all functions in schema " + schema,
	} {
		if _, err := db.Exec(ctx, "grant "+what+" to "+role); err != nil {
			return err
		}
	}
	return nil
}
