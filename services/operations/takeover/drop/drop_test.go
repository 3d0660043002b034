package drop_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/backfill"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/drop"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func TestDropHasGates(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("backfill")
	s.Gated(takeovertest.WithSnapshot, "verify has passed")
	s.Do("verify")
	s.Gated(takeovertest.WithSnapshot, "repoint has passed")
	s.Gated(takeovertest.WithSnapshot, "findings.baseline_run_id is gone")
	s.Do("repoint")
	s.Gated(takeovertest.WithSnapshot, "verify came after adopt, backfill and repoint")
	s.Do("verify")
	s.Gated(drop.Options{}, "a snapshot was taken")
	s.Gated(drop.Options{Snapshot: "x", ArchiveUnlinked: 1}, "every row has a run")

	restore := takeovertest.Tamper(t, s.Legacy, "backup_schedule_runs", s.RowOf("backup_schedule_runs"), "operation_run_id = null")
	s.Gated(takeovertest.WithSnapshot, "every row has a run")
	restore()

	s.Exec("create table note (run_id bigint references entra_group_sync_runs)")
	s.Gated(takeovertest.WithSnapshot, "no foreign key refers to entra_group_sync_runs")
	s.Exec("drop table note")

	restore = takeovertest.Tamper(t, s.Operations, "operation_runs", "1", "status = 'running', outcome = 'pending', completed_at = null")
	s.Gated(takeovertest.WithSnapshot, "no run that was taken over is active")
	restore()

	s.Do("backfill")
	s.Gated(takeovertest.WithSnapshot, "verify came after adopt, backfill and repoint")
	s.Do("verify")

	s.Exec("alter table restore_runs disable trigger tenantpilot_write_seen")
	s.Gated(takeovertest.WithSnapshot, "every write since then would have been seen")
	s.Exec("alter table restore_runs enable trigger tenantpilot_write_seen")
	s.Do("drop")
	s.Do("drop")
}

func TestDropRefusesAfterAWrite(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("repoint")
	for _, write := range []string{
		"update inventory_sync_runs set had_errors = had_errors where id = 3",
		"delete from entra_group_sync_runs where id = -1", // it deletes nothing, but it might have
		"update backup_schedule_runs set status = status where id = 1",
		"insert into restore_runs (tenant_id, backup_set_id, status) values (1, 1, 'Draft')",
		"update operation_runs set updated_at = updated_at where id = 1",
		"update findings set severity = severity where id = 1",
		"update inventory_items set display_name = display_name where id = 1",
	} {
		s.Exec(write)
		s.Gated(takeovertest.WithSnapshot, "nothing was written since verify looked")
		s.Do("verify")
	}
	s.Do("drop")
}

func TestALinkedHistoryIsDroppedWithItsUnlinkedRowsOnly(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("adopt")
	s.Done(backfill.Run(t.Context(), s.Ledger, backfill.Options{History: "link", StaleAfter: 24 * time.Hour, CutOver: true}))
	s.Do("verify")
	s.Do("repoint")
	s.Do("verify")
	var sum []string
	for _, table := range legacy.Droppable {
		sum = append(sum, "(select count(*) from "+table+" where operation_run_id is null)")
	}
	unlinked, err := strconv.ParseInt(takeovertest.Value(t, s.Legacy, "select "+strings.Join(sum, " + ")), 10, 64)
	require.NoError(t, err)
	require.Positive(t, unlinked)
	for _, wrong := range []int64{0, unlinked - 1, unlinked + 1} {
		s.Gated(drop.Options{Snapshot: "x", ArchiveUnlinked: wrong}, "--archive-unlinked is the number of rows without a run")
	}
	s.Done(drop.Run(t.Context(), s.Ledger, drop.Options{Snapshot: "x", ArchiveUnlinked: unlinked}))
	s.Done(drop.Run(t.Context(), s.Ledger, drop.Options{Snapshot: "x", ArchiveUnlinked: unlinked}))
}

func TestDropEndsTheTakeover(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("verify again")
	before := s.LegacyPortrait()
	s.Done(drop.Run(t.Context(), s.Ledger, drop.Options{Plan: true, Snapshot: "x"}))
	takeovertest.SameLines(t, before, s.LegacyPortrait())
	require.NotEqual(t, "0", takeovertest.Value(t, s.Operations, "select count(*) from workspace_hold"))
	rows := map[string]string{}
	for _, table := range legacy.Droppable {
		rows[table] = takeovertest.Value(t, s.Legacy, "select md5(string_agg(t::text, '|' order by id)) from "+table+" t")
	}
	s.Do("drop")
	require.Equal(t, "0", takeovertest.Value(t, s.Operations, "select count(*) from workspace_hold"))
	for _, table := range legacy.Droppable {
		require.Equal(t, rows[table], takeovertest.Value(t, s.Legacy, "select md5(string_agg(t::text, '|' order by id)) from "+legacy.Archived(table)+" t"))
		require.Equal(t, "0", takeovertest.Value(t, s.Legacy, "select count(*) from pg_constraint where conrelid = $1::regclass and contype = 'f'", legacy.Archived(table)))
	}
	require.Equal(t, "0", takeovertest.Value(t, s.Legacy, "select count(*) from pg_trigger where tgname = 'tenantpilot_write_seen' and tgrelid = any($1::text[]::regclass[])", legacy.Staying))
	for _, column := range []string{"status", "started_at", "completed_at", "failure_reason"} {
		require.Contains(t, takeovertest.Value(t, s.Legacy, `select col_description(attrelid, attnum) from pg_attribute
			where attrelid = 'restore_runs'::regclass and attname = $1`, column), "Deprecated", column)
	}
	s.Exec("drop schema tenantpilot_takeover cascade") // as the runbook says
	for _, table := range legacy.Droppable {
		s.Exec("drop table " + legacy.Archived(table))
	}
}

func TestDropReportsWhatRunsSayOfRestores(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("drop")
	files, err := filepath.Glob(filepath.Join(s.Reports(), "*-restores.csv"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	file, err := os.Open(files[0])
	require.NoError(t, err)
	defer file.Close()
	list, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Equal(t, drop.RestoreColumns, list[0])
	require.Equal(t, takeovertest.Value(t, s.Legacy, "select count(*) from restore_runs where operation_run_id is not null"), strconv.Itoa(len(list)-1))
	for _, line := range list[1:] {
		require.Equal(t, line[2], takeovertest.Value(t, s.Legacy, "select operation_run_id from restore_runs where id = $1::bigint", line[0]))
		require.Equal(t, line[3]+" "+line[4], takeovertest.Value(t, s.Operations, "select status || ' ' || outcome from operation_runs where id = $1::bigint", line[2]))
	}
}

// Drop waits for a slow reader or writer of the table. Nobody else waits for longer than the
// lock timeout, and what a writer wrote is not archived unnoticed.
func TestDropWaitsForWhoeverIsThere(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sql    string
		passes bool
	}{
		"a reader":                      {"select count(*) from backup_schedule_runs", true},
		"a writer":                      {"update backup_schedule_runs set updated_at = now() where id = 1", false},
		"a writer of what it refers to": {"update tenants set name = name || '!' where id = 1", true},
		"a reader of another, then it":  {"select count(*) from backup_schedules", true},
		"nobody":                        {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := takeovertest.New(t, takeovertest.Awkward)
			s.UpTo("verify again")
			slow, other := s.Connect(), s.Connect()
			tx, err := slow.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), tt.sql)
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				_, err := s.Try(t.Context(), "drop")
				done <- err
			}()
			longest := s.WriteFor(other, 5*time.Second, "update tenants set status = status where id = 2")
			require.Less(t, longest, 3*time.Second, "nobody waits longer than the lock timeout")
			if tt.sql != "" {
				select {
				case err := <-done:
					t.Fatalf("drop ended though the table was in use: %v", err)
				default:
				}
			}
			_, err = tx.Exec(t.Context(), "select count(*) from tenants, backup_sets, users")
			require.NoError(t, err, "whoever was there first is not chosen to end a deadlock")
			require.NoError(t, tx.Commit(t.Context()))
			if err := <-done; tt.passes {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, drop.ErrGate)
				_, err = s.Try(t.Context(), "verify")
				require.ErrorIs(t, err, legacy.ErrArchived, "the first table is")
				s.Do("rollback to drop")
				s.Do("backfill")
				s.Do("verify")
				s.Do("drop")
			}
		})
	}
}
