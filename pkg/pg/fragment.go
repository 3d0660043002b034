package pg

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

// Fragment is the tables that a package keeps in the database of each service
// that uses it. They have a version of their own, beside the service's.
type Fragment struct {
	// Name tells fragments apart: the version is in goose_db_version_<name>.
	Name string
	// Migrations has files migrations/NNNN_what.sql.
	Migrations fs.FS
	// Tables are those that the app role reads and writes.
	Tables []string
}

// Migrate brings the fragment to the newest of its migrations, as [Migrate] does
// with a service's schema, and lets appRole use its tables.
func (f Fragment) Migrate(ctx context.Context, ownerURL, appRole string) error {
	migrations, err := fs.Sub(f.Migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate %s: %w", f.Name, err)
	}
	db, err := openForMigration(ctx, ownerURL)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", f.Name, err)
	}
	defer db.Close()
	err = up(ctx, db, "goose_db_version_"+f.Name, migrations)
	if err == nil {
		err = f.grant(ctx, db, appRole)
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", f.Name, err)
	}
	return nil
}

// grant names tables and a role, which PostgreSQL does not take as parameters.
func (f Fragment) grant(ctx context.Context, db *sql.DB, appRole string) error {
	for _, table := range f.Tables {
		grant := "grant select, insert, update, delete on " + pgx.Identifier{table}.Sanitize() + " to " + pgx.Identifier{appRole}.Sanitize()
		if _, err := db.ExecContext(ctx, grant); err != nil {
			return err
		}
	}
	return nil
}
