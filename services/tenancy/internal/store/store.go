// Package store is all the SQL of tenancy. Each exported method has its own
// transaction. A change and its audit event are written in the same one.
package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the migrations of tenancy's tables.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Store is tenancy's database.
type Store struct{ db *pgxpool.Pool }

// New returns the store in db, a pool of the app role.
func New(db *pgxpool.Pool) *Store { return &Store{db: db} }

const lockBootstrap = `-- store.lockBootstrap
	select pg_advisory_lock(hashtext('tenantpilot tenancy bootstrap'))`

const unlockBootstrap = `-- store.unlockBootstrap
	select pg_advisory_unlock(hashtext('tenantpilot tenancy bootstrap'))`

// Alone calls f while no other process is inside Alone.
func (s *Store) Alone(ctx context.Context, f func() error) error {
	return s.db.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if _, err := c.Exec(ctx, lockBootstrap); err != nil {
			return fmt.Errorf("wait for the other bootstrap: %w", err)
		}
		err := f()
		_, unlockErr := c.Exec(context.WithoutCancel(ctx), unlockBootstrap)
		return errors.Join(err, unlockErr)
	})
}

// querier is a transaction or the pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// one reads the single row of a query. It returns pgx.ErrNoRows if there is none.
func one[T any](ctx context.Context, q querier, sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[T])
}

// many reads every row of a query.
func many[T any](ctx context.Context, q querier, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
