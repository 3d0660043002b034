package work

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"
)

func TestMigrateMayBeRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "inventory", migrateInventory)
	ended := make(chan error)
	for range 3 {
		go func() { ended <- migrateInventory(t.Context(), db.OwnerURL) }()
	}
	for range 3 {
		if err := receive(t, ended, "end of the migration"); err != nil {
			t.Error(err)
		}
	}
	if _, err := db.Pool.Exec(t.Context(), "drop table river.river_job"); err == nil {
		t.Error("the app role may change River's schema")
	}
}

// A restart of the queue's database fails neither the job at work nor later jobs.
func TestDatabaseRestartedDuringAJob(t *testing.T) {
	t.Parallel()
	private := pgtest.Private(t)
	w := setupOn(t, pgtest.On(t, private.Handle(), "inventory", migrateInventory), worktest.Options{})
	checkpoint(t, private.Handle().URL)
	worker := w.worker(t, untilTold)
	run(t, worker)
	id := w.store.Add(syncType)
	w.untilInProgress(t, id)
	if err := private.Restart(t.Context(), server.Immediate); err != nil {
		t.Fatal(err)
	}
	w.tell(t, id)
	if got := w.store.UntilCompleted(t, id); got.GetOutcome() != cancelled || got.GetAttempt() != 1 {
		t.Errorf("the run ended as %v", got)
	}
	next := w.store.Add(syncType)
	w.untilInProgress(t, next)
	w.tell(t, next)
	w.store.UntilCompleted(t, next)
}

// checkpoint writes all pages of a throwaway server to disk. Without it a crash loses
// empty pages of unlogged tables: such a server writes too little WAL to restore them.
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
