// Package pgtest is a database per test on a real PostgreSQL: a clone of a
// migrated template, dropped if the test passes. It is not for running a server
// outside tests; see its sub-package server for that.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// DB is the database of one test.
type DB struct {
	Name     string
	URL      string        // as <service>_app
	OwnerURL string        // as <service>_owner
	Pool     *pgxpool.Pool // as <service>_app; closed after the test
}

// New makes t a database of service's own, migrated by migrate, which is run
// once for all tests of the process: a function that captures what to migrate
// to would get what the first caller captured. The database is dropped after
// the test; if the test failed on a server that outlives it, it is kept and named.
func New(t testing.TB, service string, migrate func(ctx context.Context, ownerURL string) error) *DB {
	t.Helper()
	return On(t, Server(t), service, migrate)
}

// On is [New] on a server of the caller's choice, such as a [Private] one.
func On(t testing.TB, server Handle, service string, migrate func(ctx context.Context, ownerURL string) error) *DB {
	t.Helper()
	ctx := t.Context()
	template, err := ensureTemplate(ctx, server, service, migrate)
	if err != nil {
		t.Fatalf("pgtest: template of %s: %v", service, err)
	}
	db := &DB{Name: service + "_" + strings.ToLower(rand.Text()[:12])}
	db.URL, db.OwnerURL = server.url(service+"_app", db.Name), server.url(service+"_owner", db.Name)
	if err := clone(ctx, server, template, service, db.Name); err != nil {
		t.Fatalf("pgtest: clone %s: %v", template, err)
	}
	t.Cleanup(func() { dropOrName(t, server, db) })
	if db.Pool, err = pg.Open(ctx, db.URL, 0); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(db.Pool.Close)
	return db
}

// templateLock is what processes that make templates take turns by.
const templateLock = 0x7450_0002

// ensureTemplate makes the migrated database that tests clone. Its name holds
// the process, since only a process knows what its migrate does.
func ensureTemplate(ctx context.Context, server Handle, service string, migrate func(context.Context, string) error) (string, error) {
	name := templateName(service, migrate)
	conn, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) //nolint:errcheck // the lock ends with it
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", templateLock); err != nil {
		return "", err
	}
	var ready bool
	const made = "select exists (select from pg_database where datname = $1)"
	if err := conn.QueryRow(ctx, made, name).Scan(&ready); err != nil || ready {
		return name, err
	}
	// Migrated under another name and renamed, so that a half-made one is never cloned.
	making := "making_" + name
	if _, err := conn.Exec(ctx, "drop database if exists "+quote(making)+" with (force)"); err != nil {
		return "", err
	}
	if err := pg.EnsureDatabase(ctx, server.URL, service, making); err != nil {
		return "", err
	}
	if err := migrate(ctx, server.url(service+"_owner", making)); err != nil {
		return "", err
	}
	if err := leave(ctx, conn, making); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "alter database "+quote(making)+" rename to "+quote(name))
	return name, err
}

// leave ends what migrate left connected: a database in use can be neither
// renamed nor cloned.
func leave(ctx context.Context, conn *pgx.Conn, name string) error {
	const end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1"
	_, err := conn.Exec(ctx, end, name)
	return err
}

func templateName(service string, migrate func(context.Context, string) error) string {
	function := runtime.FuncForPC(reflect.ValueOf(migrate).Pointer()).Name()
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", os.Getpid(), os.Args[0], function))
	return "template_" + service + "_" + hex.EncodeToString(sum[:6])
}

func clone(ctx context.Context, server Handle, template, service, name string) error {
	conn, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	for _, statement := range []string{
		"create database " + quote(name) + " template " + quote(template) + " owner " + quote(service+"_owner"),
		"revoke all on database " + quote(name) + " from public", // grants on a database are not cloned
		"grant connect on database " + quote(name) + " to " + quote(service+"_app"),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func dropOrName(t testing.TB, server Handle, db *DB) {
	if t.Failed() && os.Getenv("TENANTPILOT_TEST_POSTGRES") != "" {
		t.Logf("pgtest: the database is kept: psql '%s'", db.OwnerURL)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return // a private server that the test has stopped took the database with it
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	if _, err := conn.Exec(ctx, "drop database if exists "+quote(db.Name)+" with (force)"); err != nil {
		t.Errorf("pgtest: drop: %v", err)
	}
}

// Handle is a server that tests make databases on.
type Handle struct {
	URL string // the superuser's
}

// url is the server's for another user and database, with the same password if
// there is one.
func (h Handle) url(user, database string) string { return server.As(h.URL, user, database) }

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
