package takeover

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Analyse says what is in the legacy database, what is wrong with it, and how long
// taking it over will take. It changes nothing.
func (t *Tool) Analyse(ctx context.Context, o AnalyseOptions) (*Report, error) {
	return t.run(ctx, "analyse", o.Plan, nil, func(ctx context.Context, r *Report) error {
		ready, err := t.checkDatabases(ctx, r)
		if err != nil || !ready {
			return err
		}
		if o.Plan {
			return t.planAnalyse(ctx, r)
		}
		steps := []func(context.Context, *Report) error{
			t.fillRates, t.linkClasses, t.histograms, t.typeHistogram, t.foreignKeys, t.defects, t.retention, t.estimate,
		}
		bar := t.bar("analyse", int64(len(steps)))
		for _, step := range steps {
			if err := step(ctx, r); err != nil {
				return err
			}
			_ = bar.Add(1)
		}
		return nil
	})
}

const readFillRate = `-- takeover.readFillRate
	select count(*), count(operation_run_id), count(*) - count(operation_run_id) from {table}`

func (t *Tool) fillRates(ctx context.Context, r *Report) error {
	rates := r.table("Rows and their links", "table", "total", "linked", "unlinked")
	for _, table := range runTables[:len(runTables)-1] {
		var total, linked, unlinked int64
		if err := t.legacy.QueryRow(ctx, table.in(readFillRate)).Scan(&total, &linked, &unlinked); err != nil {
			return fmt.Errorf("fill rate of %s: %w", table.name, err)
		}
		rates.row(table.name, total, linked, unlinked)
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

func (t *Tool) linkClasses(ctx context.Context, r *Report) error {
	classes := r.table("What the links are worth", "table", "link", "rows", "first id")
	for _, table := range runTables[:len(runTables)-1] {
		found, err := collect[linkClass](ctx, t.legacy, table.in(readLinkClasses))
		if err != nil {
			return fmt.Errorf("links of %s: %w", table.name, err)
		}
		for _, c := range found {
			classes.row(table.name, c.Link, c.Rows, c.First)
			r.find(badLink(table.name, c))
		}
	}
	return nil
}

var linkProblems = map[string]string{
	"dangling":   "links to runs that do not exist or stay behind",
	"mismatched": "links to runs of another type or tenant",
	"duplicate":  "links to a run that an earlier row has",
}

// badLink is a finding of none if there is nothing wrong with c.
func badLink(table string, c linkClass) Finding {
	problem, bad := linkProblems[c.Link]
	if !bad {
		return Finding{}
	}
	return Finding{Code: c.Link + "_link", Source: table, Message: problem, Count: c.Rows, Samples: []string{fmt.Sprint(c.First)}}
}

const readStatuses = `-- takeover.readStatuses
	select coalesce(status, '(none)'), '', count(*) from {table} group by 1 order by 3 desc, 1 limit 100`

const readStatusesAndOutcomes = `-- takeover.readStatusesAndOutcomes
	select coalesce(status, '(none)'), coalesce(outcome, '(none)'), count(*) from operation_runs group by 1, 2 order by 3 desc, 1, 2 limit 100`

type statusCount struct {
	Status, Outcome string
	Rows            int64
}

func (t *Tool) histograms(ctx context.Context, r *Report) error {
	statuses := r.table("Statuses", "table", "status", "outcome", "rows")
	for _, table := range runTables {
		sql := readStatuses
		if table.name == canonicalRuns {
			sql = readStatusesAndOutcomes
		}
		counts, err := collect[statusCount](ctx, t.legacy, table.in(sql))
		if err != nil {
			return fmt.Errorf("statuses of %s: %w", table.name, err)
		}
		for _, c := range counts {
			statuses.row(table.name, c.Status, c.Outcome, c.Rows)
		}
	}
	return nil
}

// typeHistogram tells what becomes of the types, and which need a decision.
func (t *Tool) typeHistogram(ctx context.Context, r *Report) error {
	types, err := t.typesFound(ctx)
	if err != nil {
		return err
	}
	become := r.table("Types of canonical runs", "type", "becomes", "trigger", "rows")
	var unknown []string
	for _, f := range types {
		become.row(f.Type, f.becomes(), f.Trigger, f.Rows)
		if !f.Decided {
			unknown = append(unknown, f.Type)
		}
	}
	r.find(Finding{
		Code: "unknown_type", Source: canonicalRuns, Count: int64(len(unknown)), Samples: unknown,
		Message: "types that --type-map has to decide when adopting",
	})
	return nil
}

const readInboundKeys = `-- takeover.readInboundKeys
	select c.confrelid::regclass::text, c.conrelid::regclass::text, c.conname::text, pg_get_constraintdef(c.oid)
	from pg_constraint c
	where c.contype = 'f' and c.confrelid in (select to_regclass(w) from unnest($1::text[]) w)
	order by 1, 2, 3`

type inboundKey struct{ To, From, Name, Definition string }

func (t *Tool) foreignKeys(ctx context.Context, r *Report) error {
	tables := make([]string, len(runTables))
	for i, table := range runTables {
		tables[i] = table.name
	}
	keys, err := collect[inboundKey](ctx, t.legacy, readInboundKeys, tables)
	if err != nil {
		return fmt.Errorf("foreign keys: %w", err)
	}
	inbound := r.table("Foreign keys to run tables", "to", "from", "name", "definition")
	for _, k := range keys {
		inbound.row(k.To, k.From, k.Name, k.Definition)
	}
	return nil
}

// Retention looks at completed runs only; an old row that is active will be given up.
const countOld = `-- takeover.countOld
	select count(*) from {table}
	where coalesce({ended}, updated_at, created_at) < now() - make_interval(days => $1)
		and not ($2 and tenantpilot_takeover.is_wizard(tenantpilot_takeover.word(status)))`

const countOldCanonical = `-- takeover.countOldCanonical
	select count(*) from operation_runs
	where coalesce(completed_at, updated_at, created_at) < now() - make_interval(days => $1) and type = any($2)`

// retention counts the runs that are so old that retention may remove them once
// the takeover has ended: the operator says first how long runs are kept.
func (t *Tool) retention(ctx context.Context, r *Report) error {
	types, err := run.DefaultTypes().With(t.cfg.RunTypes)
	if err != nil {
		return fmt.Errorf("%sRUN_TYPES: %w", EnvPrefix, err)
	}
	found, err := t.typesFound(ctx)
	if err != nil {
		return err
	}
	due := r.table("Runs older than they are kept", "type", "kept for days", "rows older")
	var all int64
	for _, typ := range types.List() {
		n, err := t.countOldOf(ctx, typ, found)
		if err != nil {
			return fmt.Errorf("old runs of %s: %w", typ.Name, err)
		}
		if n > 0 {
			due.row(typ.Name, typ.RetentionDays, n)
			all += n
		}
	}
	r.find(Finding{
		Code: "older_than_retention", Count: all,
		Message: "runs that retention may remove once the takeover ends (all but the newest of each workspace and identity): " +
			"set retention_days in OPERATIONS_RUN_TYPES first, and " + EnvPrefix + "RUN_TYPES likewise to see it here",
	})
	return nil
}

func (t *Tool) countOldOf(ctx context.Context, typ run.Type, found []typeFound) (int64, error) {
	var legacy []string
	for _, f := range found {
		if f.Canonical == typ.Name {
			legacy = append(legacy, f.Type)
		}
	}
	var all int64
	if err := t.legacy.QueryRow(ctx, countOldCanonical, typ.RetentionDays, legacy).Scan(&all); err != nil {
		return 0, err
	}
	for _, table := range runTables {
		if table.canonical != typ.Name {
			continue
		}
		var n int64
		if err := t.legacy.QueryRow(ctx, table.in(countOld), typ.RetentionDays, table.wizard).Scan(&n); err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// samples bounds how many ids are told of a finding.
const samples = 5

// sample answers the first ids of table where a condition of ours holds.
func (t *Tool) sample(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := t.legacy.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return strings.Fields(strings.Trim(fmt.Sprint(ids), "[]")), err
}
