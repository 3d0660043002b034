package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// EnsureRolesAndDatabase gives a service its two roles, <service>_owner and
// <service>_app, and its database tenantpilot_<service>. What is there is kept;
// passwords are set anew unless empty. It may be called by many processes at once.
func EnsureRolesAndDatabase(ctx context.Context, superuserURL, service, ownerPassword, appPassword string) error {
	conn, unlock, err := administer(ctx, superuserURL)
	if err != nil {
		return fmt.Errorf("roles of %s: %w", service, err)
	}
	defer unlock()
	err = ensureRoles(ctx, conn, service, ownerPassword, appPassword)
	if err == nil {
		err = ensureDatabase(ctx, conn, service, "tenantpilot_"+service)
	}
	if err != nil {
		return fmt.Errorf("roles of %s: %w", service, err)
	}
	return nil
}

// EnsureDatabase is [EnsureRolesAndDatabase] for a database of another name,
// and roles without passwords: tests have many.
func EnsureDatabase(ctx context.Context, superuserURL, service, database string) error {
	conn, unlock, err := administer(ctx, superuserURL)
	if err != nil {
		return fmt.Errorf("database %s: %w", database, err)
	}
	defer unlock()
	if err = ensureRoles(ctx, conn, service, "", ""); err == nil {
		err = ensureDatabase(ctx, conn, service, database)
	}
	if err != nil {
		return fmt.Errorf("database %s: %w", database, err)
	}
	return nil
}

// lockKey is the advisory lock that processes take while they administer one
// server.
const lockKey = 0x7450_0001

// administer connects and takes the lock. unlock disconnects, which frees the
// lock.
func administer(ctx context.Context, url string) (conn *pgx.Conn, unlock func(), err error) {
	conn, err = pgx.Connect(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	unlock = func() { _ = conn.Close(context.WithoutCancel(ctx)) } // the lock ends with the session
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", lockKey); err != nil {
		unlock()
		return nil, nil, err
	}
	return conn, unlock, nil
}

func ensureRoles(ctx context.Context, conn *pgx.Conn, service, ownerPassword, appPassword string) error {
	for name, password := range map[string]string{service + "_owner": ownerPassword, service + "_app": appPassword} {
		if err := ensureRole(ctx, conn, name, password); err != nil {
			return err
		}
	}
	return nil
}

const createRole = `-- pg.createRole
	select format('create role %I login', $1::text)
	where not exists (select from pg_roles where rolname = $1)`

const setPassword = `-- pg.setPassword
	select format('alter role %I password %L', $1::text, $2::text) where $2 <> ''`

// A database is made by a role that belongs to its owner; a superuser need not.
const joinRole = `-- pg.joinRole
	select format('grant %I to current_user', $1::text)
	where not exists (select from pg_roles where rolname = current_user and rolsuper)
	and not pg_has_role(current_user, $1, 'member')`

func ensureRole(ctx context.Context, conn *pgx.Conn, name, password string) error {
	if err := execMade(ctx, conn, createRole, name); err != nil {
		return err
	}
	if err := execMade(ctx, conn, setPassword, name, password); err != nil {
		return err
	}
	return execMade(ctx, conn, joinRole, name)
}

const createDatabase = `-- pg.createDatabase
	select format('create database %I owner %I template template0 encoding ''UTF8''', $1::text, $2::text)
	where not exists (select from pg_database where datname = $1)`

const closeDatabase = `-- pg.closeDatabase
	select format('revoke all on database %I from public', $1::text)`

const admitApp = `-- pg.admitApp
	select format('grant connect on database %I to %I', $1::text, $2::text)`

func ensureDatabase(ctx context.Context, conn *pgx.Conn, service, name string) error {
	if err := execMade(ctx, conn, createDatabase, name, service+"_owner"); err != nil {
		return err
	}
	if err := execMade(ctx, conn, closeDatabase, name); err != nil {
		return err
	}
	return execMade(ctx, conn, admitApp, name, service+"_app")
}

// execMade runs the statement that query makes, if it makes one: names cannot
// be parameters, and PostgreSQL quotes them best itself.
func execMade(ctx context.Context, conn *pgx.Conn, query string, args ...any) error {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
