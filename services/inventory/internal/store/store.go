// Package store is inventory's database: items and their versions, and coverage.
// It asks the domain what a change means and never reads Graph.
package store

import (
	"embed"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the migrations of inventory's own tables.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the path is a constant
	}
	return sub
}

// Store is safe for concurrent use.
type Store struct{ db *pgxpool.Pool }

// New returns the store in a database with the tables of [Migrations], as the app role.
func New(db *pgxpool.Pool) *Store { return &Store{db: db} }

// missing turns "no rows" into NotFound.
func missing(err error, resource string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.NotFound(resource)
	}
	return err
}
