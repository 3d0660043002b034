package analyse_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/analyse"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture/fixturetest"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func run(t *testing.T, s *takeovertest.Takeover, o analyse.Options) *report.Report {
	t.Helper()
	return s.Done(analyse.Run(t.Context(), s.Ledger, o))
}

func TestAnalyseCountsAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{Rows: 2000, Linked: 30, Memberships: true, UnknownType: true, LooseTenants: true, BadTenants: true})
	before := w.State()
	r := run(t, w, analyse.Options{})
	require.Equal(t, before, w.State())

	for _, source := range legacy.Bridged {
		total := takeovertest.One[int64](t, w.Legacy, "select count(*) from "+source)
		linked := takeovertest.One[int64](t, w.Legacy, "select count(operation_run_id) from "+source)
		require.Equal(t, []any{source, total, linked, total - linked}, takeovertest.RowOf(t, r, "Rows and their links", source))
		require.NotEmpty(t, takeovertest.RowOf(t, r, "Estimate, importing every row", source)[5], "how long %s takes was measured", source)
	}
	require.Equal(t, "?", takeovertest.RowOf(t, r, "Types of canonical runs", "policy.export")[1])
	require.Equal(t, "run_now", takeovertest.RowOf(t, r, "Types of canonical runs", "backup_schedule.run_now")[2])
	require.NotEmpty(t, takeovertest.RowOf(t, r, "Foreign keys to run tables", "inventory_sync_runs", "findings"))
	require.NotEmpty(t, takeovertest.RowOf(t, r, "Foreign keys to run tables", "operation_runs", "restore_runs"))
	require.NotEmpty(t, takeovertest.RowOf(t, r, "Statuses", "restore_runs", "draft"))
}

func TestAPlannedAnalysisReadsLittle(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{Memberships: true})
	before, target := takeovertest.Dump(t, w.LegacyURL), takeovertest.Dump(t, w.OperationsURL)
	r := w.Done(analyse.Run(t.Context(), w.Ledger, analyse.Options{Plan: true}))
	require.Equal(t, before, takeovertest.Dump(t, w.LegacyURL))
	require.Equal(t, target, takeovertest.Dump(t, w.OperationsURL))
	for _, table := range legacy.RunTables {
		first := takeovertest.RowOf(t, r, "Tables to read from end to end", table.Name)[3]
		require.Contains(t, first, takeovertest.Value(t, w.Legacy, "select min(id) from "+table.Name), table.Name)
	}
	require.Equal(t, "false", takeovertest.Value(t, w.Legacy, "select exists (select from tenantpilot_takeover.stage)"))
}

func TestAnalyseFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{UnknownType: true, LooseTenants: true, BadTenants: true})
	w.Exec("insert into restore_runs (id, tenant_id, backup_set_id, status, results) select 700, tenant_id, backup_set_id, 'completed', $1 from restore_runs limit 1",
		`{"items": "\u0000"}`)
	w.Exec("update inventory_sync_runs set operation_run_id = 13 where id = 70") // a run of retention
	r := run(t, w, analyse.Options{})
	for code, source := range map[string]string{
		"dangling_link": "inventory_sync_runs", "duplicate_link": "inventory_sync_runs", "mismatched_link": "inventory_sync_runs",
		"unknown_status": "restore_runs", "unknown_type": "operation_runs", "odd_json": "backup_schedule_runs", "unstorable_json": "restore_runs",
		"ended_before_started": "inventory_sync_runs", "never_ended": "operation_runs", "still_active": "entra_group_sync_runs",
		"no_creation_time": "operation_runs", "tenant_without_workspace": "tenants", "tenant_without_directory": "tenants",
		"deleted_tenant": "tenants", "deleted_restore": "restore_runs", "odd_hash": "operation_runs", "older_than_retention": "",
		"outcome_contradicts_status": "operation_runs",
	} {
		found := takeovertest.Finding(r, code, source)
		require.Positive(t, found.Count, "%s of %s", code, source)
		require.LessOrEqual(t, len(found.Samples), report.Samples)
	}
	require.Equal(t, []string{"30", "31"}, takeovertest.Finding(r, "tenant_without_directory", "tenants").Samples)
	require.Equal(t, []string{"policy.export"}, takeovertest.Finding(r, "unknown_type", "operation_runs").Samples)
	require.Zero(t, takeovertest.Finding(r, "missing_column", "").Count)
}

func TestAnalyseTellsWhatRetentionWouldRemove(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	old := takeovertest.Finding(run(t, w, analyse.Options{}), "older_than_retention", "").Count
	require.Positive(t, old)
	of := analyse.Options{RunTypes: `{"inventory_sync": {"retention_days": 36500}}`}
	less := takeovertest.Finding(run(t, w, of), "older_than_retention", "").Count
	require.Less(t, less, old)
	require.Positive(t, less, "of other types")
	_, err := analyse.Run(t.Context(), w.Ledger, analyse.Options{RunTypes: `{"inventory_sync": 7}`})
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
			w := takeovertest.New(t, fixture.Options{})
			w.Exec(tt.lack)
			w.Open()
			r, err := analyse.Run(t.Context(), w.Ledger, analyse.Options{})
			require.ErrorIs(t, err, report.ErrNotPassed)
			require.Contains(t, takeovertest.Failing(r), tt.want)
			require.Empty(t, r.Tables)
			require.Contains(t, w.Refused(adopt.Options{Owners: takeovertest.AwkwardOwners}), tt.want)
		})
	}
}

func TestColumnsThatCameLateMayBeMissing(t *testing.T) {
	t.Parallel()
	w := takeovertest.New(t, fixture.Options{})
	for table, columns := range legacy.LateColumns {
		for column := range strings.FieldsSeq(columns) {
			w.Exec("alter table " + table + " drop " + column + " cascade")
		}
	}
	w.Open()
	r := run(t, w, analyse.Options{})
	require.Equal(t, int64(len(legacy.LateColumns)), takeovertest.Finding(r, "missing_column", "").Count)
	w.Adopt(adopt.Options{Owners: takeovertest.AwkwardOwners})
	require.Positive(t, takeovertest.One[int64](t, w.Operations, "select count(*) from operation_runs"))
	w.UpTo("drop")
	w.Do("rollback to drop")
}

func TestAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	cfg := ledger.Config{LegacyURL: inASCII(t), OperationsURL: pgtest.New(t, operations.Name, operations.Service.Migrate).OwnerURL, Reports: t.TempDir()}
	tool, err := ledger.Open(t.Context(), cfg, io.Discard, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer tool.Close()
	r, err := analyse.Run(t.Context(), tool, analyse.Options{})
	require.ErrorIs(t, err, report.ErrNotPassed)
	require.Contains(t, takeovertest.Failing(r), "the legacy database in SQL_ASCII, the operations database in UTF8")
}

// inASCII returns the URL of an empty legacy database in SQL_ASCII.
func inASCII(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(fixturetest.Empty(t)) // it makes the roles too
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
	w := takeovertest.New(t, fixture.Options{Memberships: true})
	unlinked := takeovertest.RowOf(t, run(t, w, analyse.Options{}), "Links by class", "inventory_sync_runs", "unlinked")[2]
	w.UpTo("verify again")
	r := run(t, w, analyse.Options{})
	require.Greater(t, takeovertest.RowOf(t, r, "Links by class", "inventory_sync_runs", "imported")[2], unlinked, "dangling ones and doubles too")
	require.Zero(t, takeovertest.Finding(r, "dangling_link", "inventory_sync_runs").Count)
	w.Do("drop")
	w.Open()
	r, err := analyse.Run(t.Context(), w.Ledger, analyse.Options{})
	require.ErrorIs(t, err, report.ErrNotPassed)
	require.Contains(t, takeovertest.Failing(r), "already): table backup_schedule_runs, table entra_group_sync_runs, table inventory_sync_runs")
}
