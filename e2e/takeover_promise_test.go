package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// promises check what the runbook says about its commands.
func (o *operator) promises() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"takeover analyse":                              o.analysed,
		"takeover adopt":                                o.adopted,
		"takeover backfill --history=import":            o.backfilled,
		"takeover backfill --history=import --cut-over": o.cutOver,
		"takeover verify --all":                         o.verified,
		"takeover repoint":                              o.repointed,
		"takeover drop --snapshot=legacy-before-drop":   o.dropped,
	}
}

func (o *operator) analysed(t *testing.T) {
	o.look(t).same(t, o.before["takeover analyse"], "analyse changes nothing of anybody's")
	r := o.report(t, "analyse")
	require.NotEmpty(t, r.Tables)
	require.NotEmpty(t, r.Findings, "it reports what is wrong")
}

func (o *operator) adopted(t *testing.T) {
	o.legacyDump(t, nil).same(t, o.before["takeover adopt"].legacy, "adopt changes no legacy table")
	o.requireHeld(t)
}

// requireHeld requires that no run starts in a workspace that is being taken over.
func (o *operator) requireHeld(t *testing.T) {
	t.Helper()
	_, err := o.api.start(t, o.workspaceOf(t))
	require.Equal(t, "TAKEOVER_IN_PROGRESS", errs.Reason(err), "%v", err)
}

// workspaceOf returns the new workspace with the most runs.
func (o *operator) workspaceOf(t *testing.T) int64 {
	t.Helper()
	return only[int64](t, connect(t, o.legacy), `select m.workspace_id from tenantpilot_takeover.workspace_map m
		join tenantpilot_takeover.mapped_operation_runs r on r.workspace_id = m.workspace_id group by 1 order by count(*) desc limit 1`)
}

// sources returns the legacy tables whose rows became runs.
func (o *operator) sources(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, b := range o.blocks(t) {
		if b.Source != "operation_runs" {
			names = append(names, b.Source)
		}
	}
	require.Len(t, names, 4)
	return names
}

func mapped(source string) string {
	return pgx.Identifier{"tenantpilot_takeover", "mapped_" + source}.Sanitize()
}

func (o *operator) backfilled(t *testing.T) {
	legacy := connect(t, o.legacy)
	for _, source := range o.sources(t) {
		require.Zero(t, only[int](t, legacy, "select count(*) from "+mapped(source)+" where link not in ('imported', 'linked', 'wizard')"), "rows of %s are without a run", source)
		require.NotZero(t, only[int](t, legacy, "select count(*) from "+mapped(source)+" where link = 'imported'"), source)
		o.requireFound(t, source)
	}
	o.requireHistory(t)
	o.requireSummary(t)
	o.requireHeld(t)
}

// row is a legacy row and the run that it has to become.
type row struct{ ID, RunID, WorkspaceID int64 }

// requireFound requires that some runs are found by their legacy rows.
func (o *operator) requireFound(t *testing.T, source string) {
	t.Helper()
	rows := all[row](t, connect(t, o.legacy), "select legacy_id, run_id, workspace_id from "+mapped(source)+" where link = 'imported' order by md5(legacy_id::text) limit 5")
	for _, r := range rows {
		found := o.api.list(t, r.WorkspaceID, fmt.Sprintf(`legacy.source = %q AND legacy.id = "%d"`, source, r.ID))
		require.Equal(t, []int64{r.RunID}, found, "%s %d", source, r.ID)
		run, err := o.api.reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: r.RunID})
		require.NoError(t, err)
		require.Equal(t, operationsv1.RunOrigin_RUN_ORIGIN_LEGACY, run.Run.Origin)
		require.EqualValues(t, r.ID, run.Run.Context.AsMap()["legacy"].(map[string]any)["id"])
		require.Equal(t, source, run.Run.Context.AsMap()["legacy"].(map[string]any)["source"])
	}
}

// requireHistory requires that all runs of a schedule are found: imported ones, and those that
// were canonical before.
func (o *operator) requireHistory(t *testing.T) {
	t.Helper()
	legacy := connect(t, o.legacy)
	source := only[string](t, legacy, "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'backup_schedule_id'")
	schedule := only[int64](t, legacy, "select backup_schedule_id from "+pgx.Identifier{source}.Sanitize()+" group by 1 order by count(*) desc limit 1")
	want := all[row](t, legacy, "select r.id, r.operation_run_id, m.workspace_id from "+pgx.Identifier{source}.Sanitize()+
		" r join tenantpilot_takeover.tenant_map m on m.legacy_id = r.tenant_id where r.backup_schedule_id = $1", schedule)
	found := o.api.list(t, want[0].WorkspaceID, fmt.Sprintf(`type = backup_schedule_run AND context.backup_schedule_id = "%d"`, schedule))
	for _, r := range want {
		require.Contains(t, found, r.RunID, "the history of schedule %d lacks row %d", schedule, r.ID)
	}
}

func (o *operator) requireSummary(t *testing.T) {
	t.Helper()
	until := time.Now().UTC().Truncate(24 * time.Hour)
	from := until.Add(-900 * 24 * time.Hour)
	answer, err := o.api.reader.SummarizeRuns(t.Context(), &operationsv1.SummarizeRunsRequest{
		WorkspaceId: o.workspaceOf(t), StartTime: timestamppb.New(from), EndTime: timestamppb.New(until), Bucket: operationsv1.SummaryBucket_SUMMARY_BUCKET_DAY,
	})
	require.NoError(t, err)
	var counted int64
	for _, c := range answer.Counts {
		counted += c.Count
	}
	want := only[int64](t, connect(t, o.ops), "select count(*) from operation_runs where workspace_id = $1 and origin = 'legacy' and completed_at >= $2 and completed_at < $3",
		o.workspaceOf(t), from, until)
	require.NotZero(t, want)
	require.Equal(t, want, counted, "the statistics have every imported run")
}

func (o *operator) cutOver(t *testing.T) {
	require.Zero(t, only[int](t, connect(t, o.ops), "select count(*) from operation_runs where origin = 'legacy' and status <> 'completed'"), "something is still active")
	for _, id := range all[struct{ ID int64 }](t, connect(t, o.ops), "select workspace_id from workspace_hold") {
		_, err := o.api.start(t, id.ID)
		require.NoError(t, err, "live runs are allowed in workspace %d", id.ID)
	}
	_, err := connect(t, o.ops).Exec(t.Context(), "delete from operation_runs where origin = 'live'") // they were only started for this check
	require.NoError(t, err)
}

func (o *operator) verified(t *testing.T) {
	if o.moved.legacy.tables == nil {
		o.moved = o.named(t)
		o.mended(t)
	}
	r := o.report(t, "verify")
	require.True(t, r.Passed)
	require.Greater(t, len(r.Checks), 10)
	require.Equal(t, "true", r.Options["all"])
}

// mended changes a row, does what the runbook says about checks that fail, and changes the row
// back.
func (o *operator) mended(t *testing.T) {
	t.Helper()
	const backfill, verify = "takeover backfill --history=import --cut-over", "takeover verify --all"
	source := o.sources(t)[0]
	changed := all[row](t, connect(t, o.legacy), "select legacy_id, run_id, workspace_id from "+mapped(source)+" where link = 'imported' order by md5(legacy_id::text) limit 1")[0]
	change := func(by string) {
		_, err := connect(t, o.legacy).Exec(t.Context(), "update "+pgx.Identifier{source}.Sanitize()+" set updated_at = updated_at + $2::interval where id = $1", changed.ID, by)
		require.NoError(t, err)
	}
	change("1 second")
	said, err := o.sh(t, verify)
	require.Error(t, err, "a row is not what its run says")
	require.Contains(t, said, strconv.FormatInt(changed.RunID, 10), "it says which")
	for _, line := range []string{backfill, verify} {
		said, err = o.sh(t, line)
		require.NoError(t, err, "%s\n%s", line, said)
	}
	change("-1 second")
	said, err = o.sh(t, backfill)
	require.NoError(t, err, said)
	o.look(t).same(t, o.seen, "backfill has mended it")
}

// references are the old and the new columns of repoint, by table.
var references = map[string][][2]string{
	"findings":        {{"baseline_run_id", "baseline_operation_run_id"}, {"current_run_id", "current_operation_run_id"}},
	"inventory_items": {{"last_seen_run_id", "last_seen_operation_run_id"}},
}

func (o *operator) repointed(t *testing.T) {
	legacy := connect(t, o.legacy)
	for table, columns := range references {
		for _, c := range columns {
			require.Zero(t, only[int](t, legacy, "select count(*) from information_schema.columns where table_name = $1 and column_name = $2", table, c[0]), "%s.%s is there", table, c[0])
			require.NotZero(t, only[int](t, legacy, "select count("+c[1]+") from "+table), "%s.%s refers to nothing", table, c[1])
			for _, id := range all[struct{ ID int64 }](t, legacy, "select distinct "+c[1]+" from "+table+" where "+c[1]+" is not null") {
				_, err := o.api.reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: id.ID})
				require.NoError(t, err, "%s.%s refers to run %d", table, c[1], id.ID)
			}
		}
	}
	r := o.report(t, "repoint")
	titles := []string{}
	for _, table := range r.Tables {
		titles = append(titles, table.Title)
	}
	require.Subset(t, titles, []string{"References before", "References after"})
}

func (o *operator) dropped(t *testing.T) {
	before := o.before["takeover drop --snapshot=legacy-before-drop"].legacy
	after := o.legacyDump(t, nil)
	var archived []string
	for table, rows := range after.tables {
		if name, ok := strings.CutPrefix(table, "_archive_"); ok {
			archived = append(archived, name)
			require.Equal(t, before.tables[name], rows, "the archive is complete")
			require.NotContains(t, after.tables, name)
		}
	}
	require.Len(t, archived, 3)
	require.Contains(t, after.tables, "restore_runs", "it is the wizard's table")
	require.Zero(t, only[int](t, connect(t, o.ops), "select count(*) from workspace_hold"), "retention is held still")
	text, err := os.ReadFile("../docs/takeover.md")
	require.NoError(t, err)
	for _, name := range archived {
		require.Contains(t, string(text), "`"+name+"`", "the text names what is archived")
	}
	r := o.report(t, "drop")
	require.True(t, slices.ContainsFunc(r.Tables, func(x reportTable) bool { return len(x.Rows) > 0 }), "restores and their runs, side by side")
}

// report is a part of the JSON report of a stage.
type report struct {
	Passed   bool
	Options  map[string]string
	Checks   []struct{ Name string }
	Findings []struct{ Code string }
	Tables   []reportTable
}

type reportTable struct {
	Title string
	Rows  [][]any
}

// report returns the last report of a stage, without plans. It exists as a page too.
func (m *move) report(t *testing.T, stage string) (r report) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(m.environment()["TAKEOVER_REPORTS"], "*-"+stage+".json"))
	require.NoError(t, err)
	require.NotEmpty(t, paths, "no report of %s", stage)
	slices.Sort(paths)
	path := paths[len(paths)-1]
	data, err := os.ReadFile(path) //nolint:gosec // in a folder of the test
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &r))
	require.FileExists(t, strings.TrimSuffix(path, ".json")+".html")
	return r
}

// runsAPI is the API of the run store.
type runsAPI struct {
	reader  operationsv1.RunReaderServiceClient
	starter operationsv1.RunServiceClient
}

func newRunsAPI(t *testing.T, m *move) *runsAPI {
	t.Helper()
	reader, err := rpc.Dial(m.ports["operations"], "operations", m.client("operator"), m.log)
	require.NoError(t, err)
	t.Cleanup(func() { reader.Close() })
	starter, err := rpc.Dial(m.ports["operations"], "operations", m.client("inventory"), m.log)
	require.NoError(t, err)
	t.Cleanup(func() { starter.Close() })
	return &runsAPI{operationsv1.NewRunReaderServiceClient(reader), operationsv1.NewRunServiceClient(starter)}
}

func (a *runsAPI) start(t *testing.T, workspace int64) (*operationsv1.StartRunResponse, error) {
	t.Helper()
	return a.starter.StartRun(t.Context(), &operationsv1.StartRunRequest{WorkspaceId: workspace, Type: "inventory_sync", IdentityInputs: "all"})
}

// list returns the ids of all runs that match a filter.
func (a *runsAPI) list(t *testing.T, workspace int64, filter string) (ids []int64) {
	t.Helper()
	for token, more := "", true; more; more = token != "" {
		answer, err := a.reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: workspace, Filter: filter, PageSize: 200, PageToken: token})
		require.NoError(t, err, filter)
		for _, r := range answer.Runs {
			ids = append(ids, r.Id)
		}
		token = answer.NextPageToken
	}
	return ids
}
