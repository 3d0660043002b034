package takeover

import (
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// gated asserts that drop does not pass because of the check named, and that
// nothing is archived.
func (s *stages) gated(o DropOptions, check string) {
	s.t.Helper()
	r, err := s.tool.Drop(s.t.Context(), o)
	require.ErrorIs(s.t, err, errNotPassed)
	var failed []string
	for _, c := range r.Checks {
		if !c.Passed {
			failed = append(failed, c.Name)
		}
	}
	require.Contains(s.t, strings.Join(failed, "\n"), check)
	for _, table := range droppable {
		require.Equal(s.t, table, value(s.t, s.tool.legacy, "select to_regclass($1)", table))
	}
}

var withSnapshot = DropOptions{Snapshot: "before-the-takeover"}

func TestDropHasGates(t *testing.T) {
	t.Parallel()
	s := newStages(t, awkward)
	s.upTo("backfill")
	s.gated(withSnapshot, "verify has passed")
	s.do("verify")
	s.gated(withSnapshot, "repoint has passed")
	s.gated(withSnapshot, "findings.baseline_run_id is gone")
	s.do("repoint")
	s.gated(withSnapshot, "verify came after adopt, backfill and repoint")
	s.do("verify")
	s.gated(DropOptions{}, "a snapshot was taken")
	s.gated(DropOptions{Snapshot: "x", ArchiveUnlinked: 1}, "every row has a run")

	restore := tamper(t, s.tool.legacy, "backup_schedule_runs", s.rowOf("backup_schedule_runs"), "operation_run_id = null")
	s.gated(withSnapshot, "every row has a run")
	restore()

	s.exec("create table note (run_id bigint references entra_group_sync_runs)")
	s.gated(withSnapshot, "no foreign key refers to entra_group_sync_runs")
	s.exec("drop table note")

	restore = tamper(t, s.tool.target, "operation_runs", "1", "status = 'running', outcome = 'pending', completed_at = null")
	s.gated(withSnapshot, "no run that was taken over is active")
	restore()

	s.do("backfill")
	s.gated(withSnapshot, "verify came after adopt, backfill and repoint")
	s.do("verify")

	s.exec("alter table restore_runs disable trigger tenantpilot_write_seen")
	s.gated(withSnapshot, "every write since then would have been seen")
	s.exec("alter table restore_runs enable trigger tenantpilot_write_seen")
	s.do("drop")
	s.do("drop")
}

func TestDropRefusesAfterAWrite(t *testing.T) {
	t.Parallel()
	s := newStages(t, awkward)
	s.upTo("repoint")
	for _, write := range []string{
		"update inventory_sync_runs set had_errors = had_errors where id = 3",
		"delete from entra_group_sync_runs where id = -1", // nothing, but it might have been something
		"update backup_schedule_runs set status = status where id = 1",
		"insert into restore_runs (tenant_id, backup_set_id, status) values (1, 1, 'Draft')",
		"update operation_runs set updated_at = updated_at where id = 1",
		"update findings set severity = severity where id = 1",
		"update inventory_items set display_name = display_name where id = 1",
	} {
		s.exec(write)
		s.gated(withSnapshot, "nothing was written since verify looked")
		s.do("verify")
	}
	s.do("drop")
}

func TestALinkedHistoryIsDroppedWithItsUnlinkedRowsOnly(t *testing.T) {
	t.Parallel()
	s := newStages(t, awkward)
	s.upTo("adopt")
	s.done(s.tool.Backfill(t.Context(), BackfillOptions{History: "link", StaleAfter: 24 * time.Hour, CutOver: true}))
	s.do("verify")
	s.do("repoint")
	s.do("verify")
	var sum []string
	for _, table := range droppable {
		sum = append(sum, "(select count(*) from "+table+" where operation_run_id is null)")
	}
	unlinked, err := strconv.ParseInt(value(t, s.tool.legacy, "select "+strings.Join(sum, " + ")), 10, 64)
	require.NoError(t, err)
	require.Positive(t, unlinked)
	for _, wrong := range []int64{0, unlinked - 1, unlinked + 1} {
		s.gated(DropOptions{Snapshot: "x", ArchiveUnlinked: wrong}, "the rows without a run are as many as was said")
	}
	s.done(s.tool.Drop(t.Context(), DropOptions{Snapshot: "x", ArchiveUnlinked: unlinked}))
	s.done(s.tool.Drop(t.Context(), DropOptions{Snapshot: "x", ArchiveUnlinked: unlinked}))
}

func TestDropEndsTheTakeover(t *testing.T) {
	t.Parallel()
	s := newStages(t, awkward)
	s.upTo("verify again")
	before := s.legacyPortrait()
	s.done(s.tool.Drop(t.Context(), DropOptions{Plan: true, Snapshot: "x"}))
	sameLines(t, before, s.legacyPortrait())
	require.NotEqual(t, "0", value(t, s.tool.target, "select count(*) from workspace_hold"))
	rows := map[string]string{}
	for _, table := range droppable {
		rows[table] = value(t, s.tool.legacy, "select md5(string_agg(t::text, '|' order by id)) from "+table+" t")
	}
	s.do("drop")
	require.Equal(t, "0", value(t, s.tool.target, "select count(*) from workspace_hold"))
	for _, table := range droppable {
		require.Equal(t, rows[table], value(t, s.tool.legacy, "select md5(string_agg(t::text, '|' order by id)) from "+archived(table)+" t"))
		require.Equal(t, "0", value(t, s.tool.legacy, "select count(*) from pg_constraint where conrelid = $1::regclass and contype = 'f'", archived(table)))
	}
	require.Equal(t, "0", value(t, s.tool.legacy, "select count(*) from pg_trigger where tgname = 'tenantpilot_write_seen' and tgrelid = any($1::text[]::regclass[])", staying))
	for _, column := range []string{"status", "started_at", "completed_at", "failure_reason"} {
		require.Contains(t, value(t, s.tool.legacy, `select col_description(attrelid, attnum) from pg_attribute
			where attrelid = 'restore_runs'::regclass and attname = $1`, column), "Deprecated", column)
	}
	s.exec("drop schema tenantpilot_takeover cascade") // when the operator is sure
	for _, table := range droppable {
		s.exec("drop table " + archived(table))
	}
}

func TestDropReportsWhatRunsSayOfRestores(t *testing.T) {
	t.Parallel()
	s := newStages(t, awkward)
	s.upTo("drop")
	files, err := filepath.Glob(filepath.Join(s.cfg.Reports, "*-restores.csv"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	file, err := os.Open(files[0])
	require.NoError(t, err)
	defer file.Close()
	list, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Equal(t, restoreColumns, list[0])
	require.Equal(t, value(t, s.tool.legacy, "select count(*) from restore_runs where operation_run_id is not null"), strconv.Itoa(len(list)-1))
	for _, line := range list[1:] {
		require.Equal(t, line[2], value(t, s.tool.legacy, "select operation_run_id from restore_runs where id = $1::bigint", line[0]))
		require.Equal(t, line[3]+" "+line[4], value(t, s.tool.target, "select status || ' ' || outcome from operation_runs where id = $1::bigint", line[2]))
	}
}

// A reader, or a writer, that is slow to end holds the table up, but nobody else
// for longer than the lock timeout; and what it wrote is not archived unseen.
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
			s := newStages(t, awkward)
			s.upTo("verify again")
			slow, other := s.connect(), s.connect()
			tx, err := slow.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), tt.sql)
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				_, err := s.try(t.Context(), "drop")
				done <- err
			}()
			longest := s.writeFor(other, 5*time.Second, "update tenants set status = status where id = 2")
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
				require.ErrorIs(t, err, errGate)
				_, err = s.try(t.Context(), "verify")
				require.ErrorIs(t, err, errArchived, "the first table is")
				s.do("rollback to drop")
				s.do("backfill")
				s.do("verify")
				s.do("drop")
			}
		})
	}
}

// connect is another user of the legacy database.
func (s *stages) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.legacyURL)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
