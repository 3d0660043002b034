package analyse

import (
	"context"
	"fmt"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// defect is something that may be wrong with rows of a table.
type defect struct {
	code    string
	message string
	table   string
	where   string
	late    string // a column that the condition reads and some databases lack
}

const countDefect = `-- takeover.countDefect
	select count(*) from {table} l where {where}`

const sampleDefect = `-- takeover.sampleDefect
	select id from {table} l where {where} order by id limit 5`

func (d defect) in(sql string) string {
	return strings.NewReplacer("{table}", d.table, "{where}", d.where).Replace(sql)
}

// defects reports the rows that are wrong, table by table, and what becomes of them.
func (a *analysis) defects(ctx context.Context) error {
	lacks, err := a.lackedColumns(ctx)
	if err != nil {
		return err
	}
	var all []defect
	for _, table := range legacy.RunTables {
		all = append(all, runDefects(table)...)
	}
	for _, d := range append(all, otherDefects...) {
		if lacks[d.table+"."+d.late] {
			continue
		}
		f := report.Finding{Code: d.code, Source: d.table, Message: d.message}
		if err := a.Legacy.QueryRow(ctx, d.in(countDefect)).Scan(&f.Count); err != nil {
			return fmt.Errorf("count %s of %s: %w", d.code, d.table, err)
		}
		if f.Count == 0 {
			continue
		}
		var err error
		if f.Samples, err = a.sample(ctx, d.in(sampleDefect)); err != nil {
			return fmt.Errorf("sample %s of %s: %w", d.code, d.table, err)
		}
		a.r.Find(f)
	}
	return nil
}

// runDefects returns the defects that any table of runs may have.
func runDefects(t legacy.RunTable) []defect {
	found := []defect{
		{code: "unknown_status", message: "rows with an unknown status: they become failed runs",
			where: "tenantpilot_takeover.verdict(tenantpilot_takeover.word(status)) is null" + notWizard(t)},
		{code: "ended_before_started", message: "rows that ended before they started: both times are kept", where: "{ended} < started_at"},
		{code: "never_ended", message: "ended rows without an end time: it becomes the time of the last change",
			where: "{ended} is null and coalesce(tenantpilot_takeover.verdict(tenantpilot_takeover.word(status)), 'failed') <> 'pending'" + notWizard(t)},
		{code: "still_active", message: "rows that are still active: backfill gives them up if nothing touches them for --stale-after",
			where: "tenantpilot_takeover.verdict(tenantpilot_takeover.word(status)) = 'pending'" + notWizard(t)},
		{code: "no_creation_time", message: "rows without created_at: it becomes the earliest time of the row", where: "created_at is null"},
		{code: "foreign_tenant", message: "rows of tenants that do not exist: they cannot become runs",
			where: "tenant_id is not null and not exists (select from tenants where id = l.tenant_id)"},
	}
	if t.User != "" {
		found = append(found, defect{code: "foreign_user", late: t.User, message: "rows of users that do not exist: their runs have no user",
			where: "{user} is not null and not exists (select from users where id = l.{user})"})
	}
	for _, d := range t.Documents {
		found = append(found, documentDefects(d)...)
	}
	for i := range found {
		found[i].table, found[i].where = t.Name, t.In(found[i].where)
	}
	return found
}

func notWizard(t legacy.RunTable) string {
	if !t.Wizard {
		return ""
	}
	return " and not tenantpilot_takeover.is_wizard(tenantpilot_takeover.word(status))"
}

func documentDefects(d legacy.Document) []defect {
	in := strings.NewReplacer("{column}", d.Column, "{shapes}", "'"+strings.Join(append(d.Shapes, "null"), "', '")+"'")
	found := []defect{{
		code: "odd_json", late: d.Column, message: d.Column + " has another JSON shape than expected: missing parts count as empty",
		where: in.Replace("json_typeof({column}::json) not in ({shapes})"),
	}}
	if d.Text {
		found = append(found, defect{
			code: "unstorable_json", late: d.Column, message: d.Column + ` contains \u0000, which becomes U+FFFD`,
			where: in.Replace(`{column}::text like '%\\u0000%'`),
		})
	}
	return found
}

var otherDefects = []defect{
	{code: "tenant_without_workspace", table: "tenants", message: "tenants without a workspace: adopt needs --workspace-map for them",
		where: "workspace_id is null"},
	{code: "tenant_without_directory", table: "tenants", message: "tenants whose external_id is no GUID: adopt stops until it is corrected or they are deleted",
		where: "external_id is null or external_id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"},
	{code: "deleted_tenant", table: "tenants", message: "deleted tenants: they are taken over for their history, without a connection",
		where: "deleted_at is not null", late: "deleted_at"},
	{code: "odd_hash", table: legacy.CanonicalRuns, message: "identity hashes that are not 64 hexadecimal digits",
		where: "run_identity_hash is null or run_identity_hash !~* '^[0-9a-f]{64}$'"},
	{code: "outcome_contradicts_status", table: legacy.CanonicalRuns, message: "active runs with an outcome, or completed runs without one",
		where: "(status = 'completed') = (coalesce(outcome, 'pending') = 'pending')"},
	{code: "tenant_elsewhere", table: legacy.CanonicalRuns, message: "runs in another workspace than their tenant is in now",
		where: "exists (select from tenants n where n.id = l.tenant_id and n.workspace_id <> l.workspace_id)"},
	{code: "deleted_restore", table: "restore_runs", message: "deleted restores: their runs are kept, with a note",
		where: "deleted_at is not null", late: "deleted_at"},
}

// lackedColumns returns the late columns that do not exist, as table.column.
func (a *analysis) lackedColumns(ctx context.Context) (map[string]bool, error) {
	gaps, err := legacy.Gaps(ctx, a.Legacy, legacy.LateColumns)
	if err != nil {
		return nil, err
	}
	lacks := map[string]bool{}
	var said []string
	for _, g := range gaps {
		said = append(said, g.String())
		for _, c := range g.Columns {
			lacks[g.Table+"."+c] = true
		}
	}
	a.r.Find(report.Finding{Code: "missing_column", Count: int64(len(said)), Samples: said, Message: "columns of later versions that do not exist: they count as empty"})
	return lacks, nil
}
