package pg_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
)

func file(body string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("-- +goose Up\n" + body)} }

func first() fstest.MapFS {
	return fstest.MapFS{"0001_note.sql": file(`create table note (id bigint primary key, body text constraint note_has_body check (body <> ''));
		grant select, insert on note to demo_app;`)}
}

func both() fstest.MapFS {
	m := first()
	m["0002_colour.sql"] = file("alter table note add colour text;")
	return m
}

func migrated(ctx context.Context, ownerURL string) error { return pg.Migrate(ctx, ownerURL, first()) }

func TestMigrationsOnlyGoForward(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrated)
	require.NoError(t, pg.Migrate(t.Context(), db.OwnerURL, first()), "again does nothing")
	require.NoError(t, pg.CheckVersion(t.Context(), db.Pool, first()))
	require.ErrorContains(t, pg.CheckVersion(t.Context(), db.Pool, both()), "migrate first")
	require.NoError(t, pg.Migrate(t.Context(), db.OwnerURL, both()))
	require.NoError(t, pg.CheckVersion(t.Context(), db.Pool, both()))
	require.NoError(t, pg.CheckVersion(t.Context(), db.Pool, first()), "a binary works on the next schema")
	require.ErrorContains(t, pg.Migrate(t.Context(), db.OwnerURL, first()), "newer", "but does not migrate it")
}

func TestABrokenMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrated)
	broken := both()
	broken["0003_broken.sql"] = file("create table half (id int); select 1/0;")
	require.Error(t, pg.Migrate(t.Context(), db.OwnerURL, broken))
	var half bool
	require.NoError(t, db.Pool.QueryRow(t.Context(), "select to_regclass('half') is not null").Scan(&half))
	require.False(t, half)
	require.NoError(t, pg.CheckVersion(t.Context(), db.Pool, both()), "what came before it is there")
}

func TestManyMayMigrateAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrated)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := pg.Migrate(t.Context(), db.OwnerURL, both()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, pg.CheckVersion(t.Context(), db.Pool, both()))
}

func TestNoMigrationsIsAMistake(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrated)
	require.Error(t, pg.Migrate(t.Context(), db.OwnerURL, fstest.MapFS{}))
	require.Error(t, pg.CheckVersion(t.Context(), db.Pool, fstest.MapFS{"note.sql": file("")}))
}

func TestATransactionIsAllOrNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrated)
	stop := errors.New("stop")
	insert := func(fail error) error {
		return pg.InTx(t.Context(), db.Pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "insert into note values (1, 'a')")
			require.NoError(t, err)
			return fail
		})
	}
	require.ErrorIs(t, insert(stop), stop)
	require.NoError(t, insert(nil), "the first left nothing in the way")
	require.Panics(t, func() {
		_ = pg.InTx(t.Context(), db.Pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "insert into note values (2, 'a')")
			require.NoError(t, err)
			panic("half way")
		})
	})
	var n int
	require.NoError(t, db.Pool.QueryRow(t.Context(), "select count(*) from note").Scan(&n))
	require.Equal(t, 1, n)
}

func TestTheConstraintThatWasViolatedIsNamed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrated)
	_, err := db.Pool.Exec(t.Context(), "insert into note values (1, '')")
	require.Equal(t, "note_has_body", pg.Constraint(err))
	_, err = db.Pool.Exec(t.Context(), "select 1/0")
	require.Empty(t, pg.Constraint(err))
	require.Empty(t, pg.Constraint(errors.New("x")))
	require.Empty(t, pg.Constraint(nil))
}

func TestConnectionsHaveLimits(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrated)
	shown := func(url, name string) (value string) {
		pool, err := pg.Open(t.Context(), url, 2)
		require.NoError(t, err)
		defer pool.Close()
		require.NoError(t, pool.QueryRow(t.Context(), "select current_setting($1)", name).Scan(&value))
		require.Equal(t, int32(2), pool.Config().MaxConns)
		return value
	}
	require.Equal(t, "15s", shown(db.URL, "statement_timeout"))
	require.Equal(t, "3s", shown(db.URL, "lock_timeout"))
	require.Equal(t, "1min", shown(db.URL+"&statement_timeout=60s", "statement_timeout"), "the URL wins")
}

func TestAURLIsNeverInAnError(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=1", "postgres://u:hunter2@:badport/x", "hunter2 hunter2"} {
		_, err := pg.Open(t.Context(), url, 0)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		err = pg.Migrate(t.Context(), url, first())
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestRolesAndDatabaseAreEnsured(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := pg.EnsureRolesAndDatabase(t.Context(), server.URL(), "demo", `it's "secret"\`, "app"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	database := func(user string) string {
		return strings.Replace(strings.Replace(server.URL(), "postgres@", user+"@", 1), "/postgres?", "/tenantpilot_demo?", 1)
	}
	require.NoError(t, pg.Migrate(t.Context(), database("demo_owner"), first()))
	require.NoError(t, pg.EnsureRolesAndDatabase(t.Context(), server.URL(), "demo", "", ""), "again keeps what is there")
	require.NoError(t, pg.EnsureRolesAndDatabase(t.Context(), server.URL(), "other", "", ""))
	app, err := pg.Open(t.Context(), database("demo_app"), 0)
	require.NoError(t, err)
	defer app.Close()
	require.NoError(t, pg.CheckVersion(t.Context(), app, first()))
	_, err = app.Exec(t.Context(), "create table x ()")
	require.Error(t, err)
	for _, stranger := range []string{"other_app", "other_owner"} {
		_, err = pg.Open(t.Context(), database(stranger), 0)
		require.ErrorContains(t, err, "permission denied", stranger)
	}
}
