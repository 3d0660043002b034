package pgtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
)

// wired is a database, and a pool that reaches it through a wire.
func wired(t *testing.T) (*pgtest.DB, *pgtest.Wire, *pgxpool.Pool) {
	t.Helper()
	db := pgtest.New(t, "demo", migrate)
	w := pgtest.NewWire(t, db.URL)
	pool, err := pg.Open(t.Context(), w.URL(db.URL), 0)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return db, w, pool
}

func TestARequestIsLostOrOnlyItsAnswer(t *testing.T) {
	t.Parallel()
	db, w, pool := wired(t)
	for name, tt := range map[string]struct {
		fault pgtest.Fault
		rows  int
	}{
		"unsent":     {fault: pgtest.Fault{}, rows: 0},
		"unanswered": {fault: pgtest.Fault{Sent: true}, rows: 1},
		"hangs":      {fault: pgtest.Fault{Sent: true, Quiet: 50 * time.Millisecond}, rows: 1},
	} {
		ctx := t.Context()
		w.Arm(tt.fault)
		began := time.Now()
		_, err := pool.Exec(ctx, "insert into note (body) values ('"+name+"')") // without arguments it is one request
		require.Error(t, err, name)
		require.GreaterOrEqual(t, time.Since(began), tt.fault.Quiet, name)
		var rows int
		require.NoError(t, db.Pool.QueryRow(ctx, "select count(*) from note where body = $1", name).Scan(&rows))
		require.Equal(t, tt.rows, rows, name)
	}
	require.Equal(t, 3, w.Struck())
}

func TestAFrozenWireSaysNothing(t *testing.T) {
	t.Parallel()
	_, w, pool := wired(t)
	thaw := w.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := pool.Exec(ctx, "select 1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	thaw()
	_, err = pool.Exec(t.Context(), "select 1")
	require.NoError(t, err)
}

func TestAStrandedConnectionIsSilentAndANewOneIsNot(t *testing.T) {
	t.Parallel()
	_, w, pool := wired(t)
	held, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer held.Release()
	w.Strand()
	defer w.Cut() // so that Close does not wait for connections that reply no more
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = held.Exec(ctx, "select 1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = pool.Exec(t.Context(), "select 1")
	require.NoError(t, err)
}
