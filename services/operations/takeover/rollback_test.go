package takeover

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
)

// everything is a legacy database of some rows, in which all that is odd occurs.
var everything = fixture.Options{Rows: 300, Linked: 30, Memberships: true}

func TestRollbackOfADroppedTableIsTheTableByDump(t *testing.T) {
	t.Parallel()
	s := newStages(t, everything)
	s.exec("comment on column restore_runs.status is 'of the wizard, and then some'")
	s.upTo("verify again")
	before := map[string]string{}
	for _, table := range append([]string{"restore_runs"}, droppable...) {
		before[table] = dump(t, s.legacyURL, "--table="+table)
	}
	s.do("drop")
	for _, table := range droppable {
		require.Equal(t, "null", value(t, s.tool.legacy, "select to_regclass($1)", table))
		require.NotEqual(t, "null", value(t, s.tool.legacy, "select to_regclass($1)", archived(table)))
	}
	require.NotEqual(t, before["restore_runs"], dump(t, s.legacyURL, "--table=restore_runs"), "its columns are deprecated")
	s.open()
	s.do("rollback to drop")
	for table, want := range before {
		require.Equal(t, want, dump(t, s.legacyURL, "--table="+table), table)
	}
	s.open()
	s.gated(withSnapshot, "nothing was written since verify looked")
	s.do("verify")
	s.do("drop")
}

// What referred to rows that are gone by then is told, and does not stop a rollback.
func TestRollbackTellsOfKeysThatDoNotHoldAnyMore(t *testing.T) {
	t.Parallel()
	s := newStages(t, awkward)
	s.upTo("drop")
	s.exec("delete from backup_schedules where id = (select min(backup_schedule_id) from _archive_backup_schedule_runs)")
	r := s.do("rollback to drop")
	require.Len(t, r.Findings, 1)
	require.Equal(t, "not_validated", r.Findings[0].Code)
	require.Equal(t, "false", value(t, s.tool.legacy,
		"select convalidated from pg_constraint where conname = 'backup_schedule_runs_backup_schedule_id_foreign'"))
}

func TestRollbackToAnalyseLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{"adopted": "adopt", "backfilled": "backfill", "verified": "verify", "repointed": "repoint", "dropped": "drop"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStages(t, everything)
			legacy, target := s.legacyPortrait(), s.targetPortrait()
			s.upTo(last)
			s.do("rollback to analyse")
			sameLines(t, legacy, s.legacyPortrait())
			sameLines(t, target, s.targetPortrait())
			require.Equal(t, "null", value(t, s.tool.legacy, "select to_regnamespace('tenantpilot_takeover')"))
			s.open()
			s.upTo("drop")
		})
	}
}

func TestRollbackGoesBackOneStageAtATime(t *testing.T) {
	t.Parallel()
	s := newStages(t, everything)
	portraits, runs := map[string]string{}, map[string]string{}
	for _, stage := range []string{"adopt", "backfill", "verify", "repoint", "verify again", "drop"} {
		portraits[stage], runs[stage] = s.legacyPortrait(), s.targetPortrait()
		s.do(stage)
	}
	for _, stage := range []string{"drop", "repoint", "verify", "backfill", "adopt"} {
		s.open()
		s.do("rollback to " + stage)
		sameLines(t, portraits[stage], s.legacyPortrait())
		sameLines(t, runs[stage], s.targetPortrait())
		s.do("rollback to " + stage) // twice
	}
}

func TestRollbackRefusesWhatIsNoStage(t *testing.T) {
	t.Parallel()
	s := newStages(t, fixture.Options{Tidy: true, Memberships: true})
	for _, stage := range []string{"", "rollback", "everything"} {
		_, err := s.try(t.Context(), "rollback to "+stage)
		require.ErrorContains(t, err, "is no stage")
	}
}

func TestARollbackThatIsPlannedChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStages(t, everything)
	s.upTo("drop")
	legacy, target := s.legacyPortrait(), s.targetPortrait()
	r := s.done(s.tool.Rollback(t.Context(), RollbackOptions{Plan: true, To: "analyse"}))
	require.NotEmpty(t, r.Tables)
	sameLines(t, legacy, s.legacyPortrait())
	sameLines(t, target, s.targetPortrait())
}

// Rows whose bridge named nothing, or no run, and that the older installation has
// linked since to runs whose ids adopt moved.
func TestRollbackRestoresRowsThatWereLinkedAfterTheirFirstPass(t *testing.T) {
	t.Parallel()
	s := adopted(t, 50_000_000)
	s.exec("alter table restore_runs drop constraint restore_runs_operation_run_id_foreign")
	s.exec("update restore_runs set operation_run_id = 999999 where id = 9")
	s.do("backfill")
	linked := map[string]string{}
	for _, row := range []string{"6", "9"} {
		require.Equal(t, s.runOf("restore_runs", row), value(t, s.tool.legacy, "select operation_run_id from restore_runs where id = $1::bigint", row))
		linked[row] = s.newRunOf(row)
		s.exec("update restore_runs set operation_run_id = $2::bigint where id = $1", row, linked[row])
	}
	s.do("adopt")
	for range 2 {
		s.do("backfill")
	}
	for row, run := range linked {
		require.Equal(t, "true", value(t, s.tool.legacy, "select operation_run_id = 50000000 + $2::bigint from restore_runs where id = $1::bigint", row, run))
	}
	s.do("rollback to backfill")
	for row, run := range linked {
		require.Equal(t, run, value(t, s.tool.legacy, "select operation_run_id from restore_runs where id = $1::bigint", row), "row %s", row)
	}
}

// newRunOf is a canonical run that the older installation made of a restore.
func (s *stages) newRunOf(restore string) (id string) {
	s.t.Helper()
	const sql = `insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, created_at)
		select t.workspace_id, t.id, 'x', 'restore.execute', 'completed', 'succeeded', 'x', now()
		from restore_runs r join tenants t on t.id = r.tenant_id where r.id = $1::bigint returning id::text`
	require.NoError(s.t, s.tool.legacy.QueryRow(s.t.Context(), sql, restore).Scan(&id))
	return id
}
