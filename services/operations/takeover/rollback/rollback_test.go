package rollback_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/rollback"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func TestRollbackOfADroppedTableIsTheTableByDump(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Everything)
	s.Exec("comment on column restore_runs.status is 'of the wizard, and then some'")
	s.UpTo("verify again")
	before := map[string]string{}
	for _, table := range append([]string{"restore_runs"}, legacy.Droppable...) {
		before[table] = takeovertest.Dump(t, s.LegacyURL, "--table="+table)
	}
	s.Do("drop")
	for _, table := range legacy.Droppable {
		require.Equal(t, "null", takeovertest.Value(t, s.Legacy, "select to_regclass($1)", table))
		require.NotEqual(t, "null", takeovertest.Value(t, s.Legacy, "select to_regclass($1)", legacy.Archived(table)))
	}
	require.NotEqual(t, before["restore_runs"], takeovertest.Dump(t, s.LegacyURL, "--table=restore_runs"), "its columns are deprecated")
	s.Open()
	s.Do("rollback to drop")
	for table, want := range before {
		require.Equal(t, want, takeovertest.Dump(t, s.LegacyURL, "--table="+table), table)
	}
	s.Open()
	s.Gated(takeovertest.WithSnapshot, "nothing was written since verify looked")
	s.Do("verify")
	s.Do("drop")
}

// A constraint that rows violate by now is reported, and does not stop a rollback.
func TestRollbackTellsOfKeysThatDoNotHoldAnyMore(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("drop")
	s.Exec("delete from backup_schedules where id = (select min(backup_schedule_id) from _archive_backup_schedule_runs)")
	r := s.Do("rollback to drop")
	require.Len(t, r.Findings, 1)
	require.Equal(t, "not_validated", r.Findings[0].Code)
	require.Equal(t, "false", takeovertest.Value(t, s.Legacy,
		"select convalidated from pg_constraint where conname = 'backup_schedule_runs_backup_schedule_id_foreign'"))
}

func TestRollbackToAnalyseLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{"adopted": "adopt", "backfilled": "backfill", "verified": "verify", "repointed": "repoint", "dropped": "drop"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := takeovertest.New(t, takeovertest.Everything)
			legacy, target := s.LegacyPortrait(), s.TargetPortrait()
			s.UpTo(last)
			s.Do("rollback to analyse")
			takeovertest.SameLines(t, legacy, s.LegacyPortrait())
			takeovertest.SameLines(t, target, s.TargetPortrait())
			require.Equal(t, "null", takeovertest.Value(t, s.Legacy, "select to_regnamespace('tenantpilot_takeover')"))
			s.Open()
			s.UpTo("drop")
		})
	}
}

func TestRollbackGoesBackOneStageAtATime(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Everything)
	portraits, runs := map[string]string{}, map[string]string{}
	for _, stage := range []string{"adopt", "backfill", "verify", "repoint", "verify again", "drop"} {
		portraits[stage], runs[stage] = s.LegacyPortrait(), s.TargetPortrait()
		s.Do(stage)
	}
	for _, stage := range []string{"drop", "repoint", "verify", "backfill", "adopt"} {
		s.Open()
		s.Do("rollback to " + stage)
		takeovertest.SameLines(t, portraits[stage], s.LegacyPortrait())
		takeovertest.SameLines(t, runs[stage], s.TargetPortrait())
		s.Do("rollback to " + stage) // twice
	}
}

func TestRollbackRefusesWhatIsNoStage(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, fixture.Options{Tidy: true, Memberships: true})
	for _, stage := range []string{"", "rollback", "everything"} {
		_, err := s.Try(t.Context(), "rollback to "+stage)
		require.ErrorContains(t, err, "is no stage")
	}
}

func TestARollbackThatIsPlannedChangesNothing(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Everything)
	s.UpTo("drop")
	legacy, target := s.LegacyPortrait(), s.TargetPortrait()
	r := s.Done(rollback.Run(t.Context(), s.Ledger, takeover.Undoing, rollback.Options{Plan: true, To: "analyse"}))
	require.NotEmpty(t, r.Tables)
	takeovertest.SameLines(t, legacy, s.LegacyPortrait())
	takeovertest.SameLines(t, target, s.TargetPortrait())
}

// Rows whose bridge was empty, or named no run, and that the older installation has linked
// since to runs whose ids adopt has moved.
func TestRollbackRestoresRowsThatWereLinkedAfterTheirFirstPass(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 50_000_000)
	s.Exec("alter table restore_runs drop constraint restore_runs_operation_run_id_foreign")
	s.Exec("update restore_runs set operation_run_id = 999999 where id = 9")
	s.Do("backfill")
	linked := map[string]string{}
	for _, row := range []string{"6", "9"} {
		require.Equal(t, s.RunOf("restore_runs", row), takeovertest.Value(t, s.Legacy, "select operation_run_id from restore_runs where id = $1::bigint", row))
		linked[row] = newRunOf(t, s, row)
		s.Exec("update restore_runs set operation_run_id = $2::bigint where id = $1", row, linked[row])
	}
	s.Do("adopt")
	for range 2 {
		s.Do("backfill")
	}
	for row, run := range linked {
		require.Equal(t, "true", takeovertest.Value(t, s.Legacy, "select operation_run_id = 50000000 + $2::bigint from restore_runs where id = $1::bigint", row, run))
	}
	s.Do("rollback to backfill")
	for row, run := range linked {
		require.Equal(t, run, takeovertest.Value(t, s.Legacy, "select operation_run_id from restore_runs where id = $1::bigint", row), "row %s", row)
	}
}

// newRunOf makes a canonical run of a restore, as the older installation does.
func newRunOf(t *testing.T, s *takeovertest.Takeover, restore string) (id string) {
	t.Helper()
	const sql = `insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, created_at)
		select t.workspace_id, t.id, 'x', 'restore.execute', 'completed', 'succeeded', 'x', now()
		from restore_runs r join tenants t on t.id = r.tenant_id where r.id = $1::bigint returning id::text`
	require.NoError(t, s.Legacy.QueryRow(t.Context(), sql, restore).Scan(&id))
	return id
}
