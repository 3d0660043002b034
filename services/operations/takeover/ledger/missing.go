package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// runID is the id of a run that a row refers to, or that exists.
type runID struct{ ID int64 }

func (r runID) Key() int64 { return r.ID }

// An id that is not translated yet stands for the run that it will be translated to.
const referredRuns = `-- takeover.referredRuns
	select distinct case when v.id between 1 and b.last_legacy_id then b.base + v.id else v.id end as id
	from ({columns}) v, tenantpilot_takeover.run_block b
	where b.source = 'operation_runs' and v.id is not null order by 1`

// referred returns the statement that reads every column that refers to runs.
func referred(ctx context.Context, q query.Row) (string, error) {
	places := make([][2]string, 0, len(legacy.Bridged)+len(legacy.References))
	for _, table := range legacy.Bridged {
		places = append(places, [2]string{table, "operation_run_id"})
	}
	for _, ref := range legacy.References {
		places = append(places, [2]string{ref.Table, ref.New})
	}
	var parts []string
	for _, p := range places {
		there, err := query.HasColumn(ctx, q, p[0], p[1])
		if err != nil {
			return "", err
		}
		if there {
			parts = append(parts, strings.NewReplacer("{table}", p[0], "{column}", p[1]).Replace("select {column} as id from {table}"))
		}
	}
	return strings.ReplaceAll(referredRuns, "{columns}", strings.Join(parts, " union all ")), nil
}

const existingRuns = `-- takeover.existingRuns
	select id from operation_runs where origin = 'legacy' order by id`

const clearMissing = `-- takeover.clearMissing
	delete from tenantpilot_takeover.missing_run where run_id <> all($1)`

const addMissing = `-- takeover.addMissing
	insert into tenantpilot_takeover.missing_run (run_id) select unnest($1::bigint[]) on conflict do nothing`

// missingLimit is how many missing runs are noted at most. More mean another mistake,
// such as the wrong operations database.
const missingLimit = 1_000_000

// NoteMissing returns the runs that rows of the legacy database refer to and that the
// operations database does not have, and notes them in the table missing_run.
func NoteMissing(ctx context.Context, rows pgx.Tx, runs query.DB) ([]int64, error) {
	missing, err := findMissing(ctx, rows, runs)
	if err != nil {
		return nil, fmt.Errorf("look for missing runs: %w", err)
	}
	for _, sql := range []string{clearMissing, addMissing} {
		if _, err := rows.Exec(ctx, sql, missing); err != nil {
			return nil, fmt.Errorf("note missing runs: %w", err)
		}
	}
	return missing, nil
}

func findMissing(ctx context.Context, rows, runs query.DB) ([]int64, error) {
	sql, err := referred(ctx, rows)
	if err != nil {
		return nil, err
	}
	wanted, err := query.Read[runID](ctx, rows, sql)
	if err != nil {
		return nil, err
	}
	defer wanted.Close()
	there, err := query.Read[runID](ctx, runs, existingRuns)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	missing := []int64{}
	err = query.Merge(wanted, there, func(want, is *runID) error {
		if is == nil {
			missing = append(missing, want.ID)
		}
		if len(missing) > missingLimit {
			return fmt.Errorf("more than %d runs are missing, such as %v: is this the operations database that was filled?", missingLimit, missing[:report.Samples])
		}
		return nil
	})
	return slices.Clip(missing), err
}
