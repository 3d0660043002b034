package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrate brings the schema up to the newest of migrations: files
// NNNN_what.sql at the root, run as the owner, each in a transaction. It may be
// called by many processes at once. It refuses a schema that is newer than the
// migrations: an old binary must not run against it unknowing.
func Migrate(ctx context.Context, ownerURL string, migrations fs.FS) error {
	db, err := openForMigration(ctx, ownerURL)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer db.Close()
	if err := up(ctx, db, versions, migrations); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// versions is the table that knows which migrations of a service have run.
const versions = "goose_db_version"

// up runs the migrations that have not run yet; table knows which have.
func up(ctx context.Context, db *sql.DB, table string, migrations fs.FS) error {
	known, err := newest(migrations)
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 5))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithSessionLocker(locker), goose.WithTableName(table))
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return err
	}
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if has > known {
		return fmt.Errorf("the schema is at version %d, newer than this binary's %d", has, known)
	}
	// The app role reads the version to know whether it is ready.
	_, err = db.ExecContext(ctx, "grant select on "+table+" to public")
	return err
}

func openForMigration(ctx context.Context, url string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("owner database URL: cannot be read (it is not shown, it may hold a password)")
	}
	// Waiting long for a lock would make every later reader wait behind us.
	cfg.RuntimeParams["lock_timeout"] = "10s"
	db := stdlib.OpenDB(*cfg)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

const schemaVersion = `-- pg.schemaVersion
	select coalesce(max(version_id), 0) from goose_db_version where is_applied`

// CheckVersion fails unless the schema is at least as new as migrations. A
// newer one is fine: each binary works before and after the next migration.
func CheckVersion(ctx context.Context, db *pgxpool.Pool, migrations fs.FS) error {
	want, err := newest(migrations)
	if err != nil {
		return err
	}
	var has int64
	if err := db.QueryRow(ctx, schemaVersion).Scan(&has); err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if has < want {
		return fmt.Errorf("the schema is at version %d, this binary needs %d: migrate first", has, want)
	}
	return nil
}

func newest(migrations fs.FS) (int64, error) {
	names, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, err
	}
	if len(names) == 0 {
		return 0, errors.New("there are no migrations")
	}
	version := int64(0)
	for _, name := range names {
		v, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", name, err)
		}
		version = max(version, v)
	}
	return version, nil
}
