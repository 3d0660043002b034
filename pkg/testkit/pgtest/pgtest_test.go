package pgtest_test

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

func migrate(ctx context.Context, ownerURL string) error {
	return pg.Migrate(ctx, ownerURL, fstest.MapFS{"0001_note.sql": {Data: []byte(`-- +goose Up
create table note (id bigint generated always as identity primary key, body text not null constraint note_says_something check (body <> ''));
grant select, insert on note to demo_app;
`)}})
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t, "demo", migrate)
			_, err := db.Pool.Exec(t.Context(), "insert into note (body) values ('x')")
			require.NoError(t, err)
			var n int
			require.NoError(t, db.Pool.QueryRow(t.Context(), "select count(*) from note").Scan(&n))
			require.Equal(t, 1, n)
		})
	}
}

func TestTheAppRoleMayNotChangeTheSchema(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "demo", migrate)
	for _, statement := range []string{"create table x ()", "drop table note", "create schema s", "delete from note"} {
		_, err := db.Pool.Exec(t.Context(), statement)
		require.Equal(t, sqlstate.InsufficientPrivilege, sqlstate.Of(err), "%s: %v", statement, err)
	}
}

func TestAPrivateServerKeepsWhatWasCommittedThroughACrash(t *testing.T) {
	t.Parallel()
	private := pgtest.Private(t)
	db := pgtest.On(t, private.Handle(), "demo", migrate)
	_, err := db.Pool.Exec(t.Context(), "insert into note (body) values ('kept')")
	require.NoError(t, err)
	for _, mode := range []server.Mode{server.Immediate, server.Kill} {
		require.NoError(t, private.Restart(t.Context(), mode))
		var body string
		require.Eventually(t, func() bool {
			return db.Pool.QueryRow(t.Context(), "select body from note").Scan(&body) == nil
		}, 5e9, 2e7)
		require.Equal(t, "kept", body)
	}
}
