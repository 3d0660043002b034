package takeover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture/fixturetest"
)

func (s *stages) analyse() *Report {
	s.t.Helper()
	return s.done(s.tool.Analyse(s.t.Context(), AnalyseOptions{}))
}

// rowOf answers the row of a table of a report that begins with these words.
func rowOf(t *testing.T, r *Report, title string, words ...string) []any {
	t.Helper()
	for _, table := range r.Tables {
		for _, row := range table.Rows {
			if table.Title == title && fmt.Sprint(row[:len(words)]) == fmt.Sprint(words) {
				return row
			}
		}
	}
	require.Fail(t, "no such row", "%s: %v in %v", title, words, r.Tables)
	return nil
}

func TestAnalyseCountsAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Rows: 2000, Linked: 30, Memberships: true, UnknownType: true, LooseTenants: true, BadTenants: true})
	before := w.state()
	r := w.analyse()
	require.Equal(t, before, w.state())

	for _, source := range bridged {
		total := one[int64](t, w.tool.legacy, "select count(*) from "+source)
		linked := one[int64](t, w.tool.legacy, "select count(operation_run_id) from "+source)
		require.Equal(t, []any{source, total, linked, total - linked}, rowOf(t, r, "Rows and their links", source))
		require.NotEmpty(t, rowOf(t, r, "Estimate, importing every row", source)[5], "how long %s takes was measured", source)
	}
	require.Equal(t, "?", rowOf(t, r, "Types of canonical runs", "policy.export")[1])
	require.Equal(t, "run_now", rowOf(t, r, "Types of canonical runs", "backup_schedule.run_now")[2])
	require.NotEmpty(t, rowOf(t, r, "Foreign keys to run tables", "inventory_sync_runs", "findings"))
	require.NotEmpty(t, rowOf(t, r, "Foreign keys to run tables", "operation_runs", "restore_runs"))
	require.NotEmpty(t, rowOf(t, r, "Statuses", "restore_runs", "draft"))
}

func TestAPlannedAnalysisReadsLittle(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Memberships: true})
	legacy, target := dump(t, w.legacyURL), dump(t, w.targetURL)
	r := w.done(w.tool.Analyse(t.Context(), AnalyseOptions{Plan: true}))
	require.Equal(t, legacy, dump(t, w.legacyURL))
	require.Equal(t, target, dump(t, w.targetURL))
	for _, table := range runTables {
		first := rowOf(t, r, "Tables to read from end to end", table.name)[3]
		require.Contains(t, first, value(t, w.tool.legacy, "select min(id) from "+table.name), table.name)
	}
	require.Equal(t, "false", value(t, w.tool.legacy, "select exists (select from tenantpilot_takeover.stage)"))
}

func TestAnalyseFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{UnknownType: true, LooseTenants: true, BadTenants: true})
	w.exec("insert into restore_runs (id, tenant_id, backup_set_id, status, results) select 700, tenant_id, backup_set_id, 'completed', $1 from restore_runs limit 1",
		`{"items": "\u0000"}`)
	w.exec("update inventory_sync_runs set operation_run_id = 13 where id = 70") // retention's
	r := w.analyse()
	for code, source := range map[string]string{
		"dangling_link": "inventory_sync_runs", "duplicate_link": "inventory_sync_runs", "mismatched_link": "inventory_sync_runs",
		"unknown_status": "restore_runs", "unknown_type": "operation_runs", "odd_json": "backup_schedule_runs", "unstorable_json": "restore_runs",
		"ended_before_started": "inventory_sync_runs", "never_ended": "operation_runs", "still_active": "entra_group_sync_runs",
		"no_creation_time": "operation_runs", "tenant_without_workspace": "tenants", "tenant_without_directory": "tenants",
		"deleted_tenant": "tenants", "deleted_restore": "restore_runs", "odd_hash": "operation_runs", "older_than_retention": "",
		"outcome_contradicts_status": "operation_runs",
	} {
		found := finding(r, code, source)
		require.Positive(t, found.Count, "%s of %s", code, source)
		require.LessOrEqual(t, len(found.Samples), samples)
	}
	require.Equal(t, []string{"30", "31"}, finding(r, "tenant_without_directory", "tenants").Samples)
	require.Equal(t, []string{"policy.export"}, finding(r, "unknown_type", "operation_runs").Samples)
	require.Zero(t, finding(r, "missing_column", "").Count)
}

func TestAnalyseTellsWhatRetentionWouldRemove(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	old := finding(w.analyse(), "older_than_retention", "").Count
	require.Positive(t, old)
	w.tool.cfg.RunTypes = `{"inventory_sync": {"retention_days": 36500}}`
	less := finding(w.analyse(), "older_than_retention", "").Count
	require.Less(t, less, old)
	require.Positive(t, less, "of other types")
	w.tool.cfg.RunTypes = `{"inventory_sync": 7}`
	_, err := w.tool.Analyse(t.Context(), AnalyseOptions{})
	require.ErrorContains(t, err, "TAKEOVER_RUN_TYPES")
}

func TestADatabaseThatLacksThingsIsRefusedPolitely(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ lack, want string }{
		"a table":        {"drop table entra_group_sync_runs cascade", "already): table entra_group_sync_runs"},
		"several":        {"drop table entra_group_sync_runs cascade; alter table tenants drop external_id cascade", "already): table entra_group_sync_runs, tenants.external_id"},
		"the bridge":     {"alter table restore_runs drop operation_run_id cascade", "already): restore_runs.operation_run_id"},
		"two columns":    {"alter table users drop name cascade; alter table users drop email", "already): users.name, .email"},
		"workspaces":     {"drop table workspaces cascade", "already): table workspaces"},
		"canonical runs": {"drop table operation_runs cascade", "already): table operation_runs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStages(t, fixture.Options{})
			w.exec(tt.lack)
			w.open()
			r, err := w.tool.Analyse(t.Context(), AnalyseOptions{})
			require.ErrorIs(t, err, errNotPassed)
			require.Contains(t, failing(r), tt.want)
			require.Empty(t, r.Tables)
			require.Contains(t, w.refused(AdoptOptions{Owners: owners}), tt.want)
		})
	}
}

func TestColumnsThatCameLateMayBeMissing(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{})
	for table, columns := range lateColumns {
		for column := range strings.FieldsSeq(columns) {
			w.exec("alter table " + table + " drop " + column + " cascade")
		}
	}
	w.open()
	r := w.analyse()
	require.Equal(t, int64(len(lateColumns)), finding(r, "missing_column", "").Count)
	w.adopt(AdoptOptions{Owners: owners})
	require.Positive(t, one[int64](t, w.tool.target, "select count(*) from operation_runs"))
	w.upTo("drop")
	w.do("rollback to drop")
}

func TestAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	cfg := Config{LegacyURL: inASCII(t), OperationsURL: pgtest.New(t, operations.Name, operations.Service.Migrate).OwnerURL, Reports: t.TempDir()}
	tool, err := Open(t.Context(), cfg, io.Discard, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer tool.Close()
	r, err := tool.Analyse(t.Context(), AnalyseOptions{})
	require.ErrorIs(t, err, errNotPassed)
	require.Contains(t, failing(r), "the legacy database in SQL_ASCII, the operations database in UTF8")
}

// inASCII answers the URL of an empty legacy database whose encoding is none.
func inASCII(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(fixturetest.Empty(t)) // which also makes the roles
	require.NoError(t, err)
	u.Path += "_ascii"
	name := pgx.Identifier{strings.TrimPrefix(u.Path, "/")}.Sanitize()
	admin, err := pgx.Connect(t.Context(), pgtest.Server(t).URL)
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "create database "+name+" encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0 owner legacy_owner")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.WithoutCancel(t.Context()), "drop database "+name+" with (force)")
		require.NoError(t, errors.Join(err, admin.Close(context.WithoutCancel(t.Context()))))
	})
	conn, err := pgx.Connect(t.Context(), u.String())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.NoError(t, fixture.Create(t.Context(), conn))
	return u.String()
}

func TestAnalyseUnderstandsWhatTheTakeoverDid(t *testing.T) {
	t.Parallel()
	w := newStages(t, fixture.Options{Memberships: true})
	unlinked := rowOf(t, w.analyse(), "What the links are worth", "inventory_sync_runs", "unlinked")[2]
	w.upTo("verify again")
	r := w.analyse()
	require.Greater(t, rowOf(t, r, "What the links are worth", "inventory_sync_runs", "imported")[2], unlinked, "dangling ones and doubles too")
	require.Zero(t, finding(r, "dangling_link", "inventory_sync_runs").Count)
	w.do("drop")
	w.open()
	r, err := w.tool.Analyse(t.Context(), AnalyseOptions{})
	require.ErrorIs(t, err, errNotPassed)
	require.Contains(t, failing(r), "already): table backup_schedule_runs, table entra_group_sync_runs, table inventory_sync_runs")
}
