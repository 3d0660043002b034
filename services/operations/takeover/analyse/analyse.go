// Package analyse says what is in the legacy database, what is wrong with it, and how long
// the takeover will take. It changes nothing.
package analyse

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// Options are the flags of analyse.
type Options struct {
	Plan bool // only show what would be read
	// RunTypes is the operations service's OPERATIONS_RUN_TYPES: with it, the report says
	// what that service's retention would remove.
	RunTypes string
}

// analysis is one call of analyse.
type analysis struct {
	*ledger.Ledger
	o Options
	r *report.Report
}

// Run counts what the legacy database has, reports what is wrong with it, and estimates
// how long the takeover will take.
func Run(ctx context.Context, l *ledger.Ledger, o Options) (*report.Report, error) {
	return l.Stage(ctx, "analyse", o.Plan, nil, func(ctx context.Context, r *report.Report) error {
		ready, err := l.CheckDatabases(ctx, r)
		if err != nil || !ready {
			return err
		}
		a := &analysis{Ledger: l, o: o, r: r}
		if o.Plan {
			return a.plan(ctx)
		}
		return a.do(ctx)
	})
}

func (a *analysis) do(ctx context.Context) error {
	steps := []func(context.Context) error{
		a.fillRates, a.linkClasses, a.histograms, a.typeHistogram, a.foreignKeys, a.defects, a.retention, a.estimate,
	}
	bar := a.Bar("analyse", int64(len(steps)))
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		_ = bar.Add(1)
	}
	return nil
}

const readFillRate = `-- takeover.readFillRate
	select count(*), count(operation_run_id), count(*) - count(operation_run_id) from {table}`

func (a *analysis) fillRates(ctx context.Context) error {
	rates := a.r.Table("Rows and their links", "table", "total", "linked", "unlinked")
	for _, table := range legacy.RunTables[:len(legacy.RunTables)-1] {
		var total, linked, unlinked int64
		if err := a.Legacy.QueryRow(ctx, table.In(readFillRate)).Scan(&total, &linked, &unlinked); err != nil {
			return fmt.Errorf("fill rate of %s: %w", table.Name, err)
		}
		rates.Row(table.Name, total, linked, unlinked)
	}
	return nil
}

const readLinkClasses = `-- takeover.readLinkClasses
	select link, count(*), min(legacy_id) from tenantpilot_takeover.link_{table} group by 1 order by 1`

type linkClass struct {
	Link  string
	Rows  int64
	First int64
}

func (a *analysis) linkClasses(ctx context.Context) error {
	classes := a.r.Table("Links by class", "table", "link", "rows", "first id")
	for _, table := range legacy.RunTables[:len(legacy.RunTables)-1] {
		found, err := query.Collect[linkClass](ctx, a.Legacy, table.In(readLinkClasses))
		if err != nil {
			return fmt.Errorf("links of %s: %w", table.Name, err)
		}
		for _, c := range found {
			classes.Row(table.Name, c.Link, c.Rows, c.First)
			a.r.Find(badLink(table.Name, c))
		}
	}
	return nil
}

var linkProblems = map[string]string{
	"dangling":   "links to runs that do not exist or stay behind",
	"mismatched": "links to runs of another type or tenant",
	"duplicate":  "links to a run that an earlier row has",
}

// badLink returns the finding about a link class, with the count 0 if the class is valid.
func badLink(table string, c linkClass) report.Finding {
	problem, bad := linkProblems[c.Link]
	if !bad {
		return report.Finding{}
	}
	return report.Finding{Code: c.Link + "_link", Source: table, Message: problem, Count: c.Rows, Samples: []string{fmt.Sprint(c.First)}}
}

const readStatuses = `-- takeover.readStatuses
	select coalesce(status, '(none)'), '', count(*) from {table} group by 1 order by 3 desc, 1 limit 100`

const readStatusesAndOutcomes = `-- takeover.readStatusesAndOutcomes
	select coalesce(status, '(none)'), coalesce(outcome, '(none)'), count(*) from operation_runs group by 1, 2 order by 3 desc, 1, 2 limit 100`

type statusCount struct {
	Status, Outcome string
	Rows            int64
}

func (a *analysis) histograms(ctx context.Context) error {
	statuses := a.r.Table("Statuses", "table", "status", "outcome", "rows")
	for _, table := range legacy.RunTables {
		sql := readStatuses
		if table.Name == legacy.CanonicalRuns {
			sql = readStatusesAndOutcomes
		}
		counts, err := query.Collect[statusCount](ctx, a.Legacy, table.In(sql))
		if err != nil {
			return fmt.Errorf("statuses of %s: %w", table.Name, err)
		}
		for _, c := range counts {
			statuses.Row(table.Name, c.Status, c.Outcome, c.Rows)
		}
	}
	return nil
}

// typeHistogram shows what each type becomes, and reports those that need a decision.
func (a *analysis) typeHistogram(ctx context.Context) error {
	types, err := a.Types(ctx)
	if err != nil {
		return err
	}
	become := a.r.Table("Types of canonical runs", "type", "becomes", "trigger", "rows")
	var unknown []string
	for _, f := range types {
		become.Row(f.Type, f.Becomes(), f.Trigger, f.Rows)
		if !f.Decided {
			unknown = append(unknown, f.Type)
		}
	}
	a.r.Find(report.Finding{
		Code: "unknown_type", Source: legacy.CanonicalRuns, Count: int64(len(unknown)), Samples: unknown,
		Message: "unknown types: adopt needs --type-map for them",
	})
	return nil
}

const readInboundKeys = `-- takeover.readInboundKeys
	select c.confrelid::regclass::text, c.conrelid::regclass::text, c.conname::text, pg_get_constraintdef(c.oid)
	from pg_constraint c
	where c.contype = 'f' and c.confrelid in (select to_regclass(w) from unnest($1::text[]) w)
	order by 1, 2, 3`

type inboundKey struct{ To, From, Name, Definition string }

func (a *analysis) foreignKeys(ctx context.Context) error {
	tables := make([]string, len(legacy.RunTables))
	for i, table := range legacy.RunTables {
		tables[i] = table.Name
	}
	keys, err := query.Collect[inboundKey](ctx, a.Legacy, readInboundKeys, tables)
	if err != nil {
		return fmt.Errorf("foreign keys: %w", err)
	}
	inbound := a.r.Table("Foreign keys to run tables", "to", "from", "name", "definition")
	for _, k := range keys {
		inbound.Row(k.To, k.From, k.Name, k.Definition)
	}
	return nil
}

// Retention removes completed runs only. An old row that is active counts too: backfill gives it up.
const countOld = `-- takeover.countOld
	select count(*) from {table}
	where coalesce({ended}, updated_at, created_at) < now() - make_interval(days => $1)
		and not ($2 and tenantpilot_takeover.is_wizard(tenantpilot_takeover.word(status)))`

const countOldCanonical = `-- takeover.countOldCanonical
	select count(*) from operation_runs
	where coalesce(completed_at, updated_at, created_at) < now() - make_interval(days => $1) and type = any($2)`

// retention counts the runs that are so old that retention may remove them once the
// takeover has ended: before that, the operator decides how long runs are kept.
func (a *analysis) retention(ctx context.Context) error {
	types, err := run.DefaultTypes().With(a.o.RunTypes)
	if err != nil {
		return fmt.Errorf("%sRUN_TYPES: %w", ledger.EnvPrefix, err)
	}
	found, err := a.Types(ctx)
	if err != nil {
		return err
	}
	due := a.r.Table("Runs older than they are kept", "type", "kept for days", "rows older")
	var all int64
	for _, typ := range types.List() {
		n, err := a.countOldOf(ctx, typ, found)
		if err != nil {
			return fmt.Errorf("old runs of %s: %w", typ.Name, err)
		}
		if n > 0 {
			due.Row(typ.Name, typ.RetentionDays, n)
			all += n
		}
	}
	a.r.Find(report.Finding{
		Code: "older_than_retention", Count: all,
		Message: "runs that retention may remove once the takeover ends (all but the newest of each workspace and identity): " +
			"set retention_days in OPERATIONS_RUN_TYPES first, and " + ledger.EnvPrefix + "RUN_TYPES likewise to see it here",
	})
	return nil
}

func (a *analysis) countOldOf(ctx context.Context, typ run.Type, found []ledger.TypeFound) (int64, error) {
	var types []string
	for _, f := range found {
		if f.Canonical == typ.Name {
			types = append(types, f.Type)
		}
	}
	var all int64
	if err := a.Legacy.QueryRow(ctx, countOldCanonical, typ.RetentionDays, types).Scan(&all); err != nil {
		return 0, err
	}
	for _, table := range legacy.RunTables {
		if table.Canonical != typ.Name {
			continue
		}
		var n int64
		if err := a.Legacy.QueryRow(ctx, table.In(countOld), typ.RetentionDays, table.Wizard).Scan(&n); err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// sample returns the ids that a statement selects.
func (a *analysis) sample(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := a.Legacy.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return strings.Fields(strings.Trim(fmt.Sprint(ids), "[]")), err
}
