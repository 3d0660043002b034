package watch

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// PostgreSQL is killed and starts again. Watches go on and miss nothing. Numbers of
// transactions that were not on disk are used again, and what these write is new.
func TestPostgresIsRestarted(t *testing.T) {
	t.Parallel()
	private := pgtest.Private(t)
	db := pgtest.On(t, private.Handle(), "operations", migrate)
	h := replica(t, db.Pool, func(h *Hub) { h.poll = 50 * time.Millisecond })
	old := watch(t, h, Filter{WorkspaceID: 1}, nil)
	old.next(t)
	for n := range 2 {
		for range 50 {
			traceless(t, db.Pool)
		}
		w := watch(t, h, Filter{WorkspaceID: 1}, nil)
		at := w.bookmark(t)
		require.NoError(t, private.Restart(t.Context(), server.Immediate))
		var s store.StartResult
		require.Eventually(t, func() bool {
			var err error
			s, err = h.store.Start(t.Context(), ask(t, h, fmt.Sprint(n)))
			return err == nil
		}, soon, 20*time.Millisecond)
		for who, w := range map[string]*watching{"old": old, "new": w, "resumed": watch(t, h, Filter{WorkspaceID: 1}, &at)} {
			require.Equal(t, fmt.Sprint("created ", s.Run.ID), w.event(t).String(), who)
		}
	}
}

// bookmark returns the position of the next bookmark.
func (w *watching) bookmark(t *testing.T) snapshot.Position {
	t.Helper()
	for {
		if told := w.next(t); told.Snapshot == nil && told.Change == nil {
			return told.At
		}
	}
}

// traceless runs a transaction of which nothing is left after a crash.
func traceless(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "select pg_current_xact_id()")
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
}

// A hub that is stopped at any moment ends, and all its watches with it.
func TestHubsAreStartedAndStopped(t *testing.T) {
	t.Parallel()
	db := database(t)
	for n := range 40 {
		h := New(store.New(db.Pool, run.DefaultTypes()), slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.Run(ctx); close(ended) }()
		w := watch(t, h, Filter{WorkspaceID: 1}, nil)
		if n%3 == 0 {
			w.next(t)
		}
		after := time.NewTimer(time.Duration(n%8) * 2 * time.Millisecond)
		<-after.C
		stop()
		select {
		case <-w.told:
			require.ErrorIs(t, w.end(t), errDraining)
		case err := <-w.ended:
			require.ErrorIs(t, err, errDraining)
		}
		w.leave()
		<-ended
	}
}
