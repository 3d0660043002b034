package work

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// The queue's database going away costs neither the job at work nor those to come.
func TestDatabaseRestartedDuringAJob(t *testing.T) {
	t.Parallel()
	private := pgtest.Private(t)
	w := setupOn(t, pgtest.On(t, private.Handle(), "inventory", migrateInventory))
	checkpoint(t, private.Handle().URL)
	worker := w.worker(t, untilTold)
	run(t, worker)
	id := w.store.add(syncType)
	w.store.untilInProgress(t, id)
	if err := private.Restart(t.Context(), server.Immediate); err != nil {
		t.Fatal(err)
	}
	w.tell(t, id)
	if got := w.store.untilCompleted(t, id); got.GetOutcome() != cancelled || got.GetAttempt() != 1 {
		t.Errorf("the run ended as %v", got)
	}
	next := w.store.add(syncType)
	w.store.untilInProgress(t, next)
	w.tell(t, next)
	w.store.untilCompleted(t, next)
}

// checkpoint makes a clone on a throwaway server outlive a crash whole: such a
// server writes too little WAL to restore the empty pages of unlogged tables.
func checkpoint(t *testing.T, superuser string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), superuser)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "checkpoint"); err != nil {
		t.Fatal(err)
	}
}
