package takeover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// runID is a run that somebody refers to, or that there is.
type runID struct{ ID int64 }

func (r runID) run() int64 { return r.ID }

// bridged are the tables whose rows refer to runs by a bridge column.
var bridged = []string{"inventory_sync_runs", "entra_group_sync_runs", "backup_schedule_runs", "restore_runs"}

// Untranslated ids mean the runs that they will be translated to.
const referredRuns = `-- takeover.referredRuns
	select distinct case when v.id between 1 and b.last_legacy_id then b.base + v.id else v.id end as id
	from ({columns}) v, tenantpilot_takeover.run_block b
	where b.source = 'operation_runs' and v.id is not null order by 1`

// referred answers the statement for every column that refers to runs.
func (t *Tool) referred(ctx context.Context, q rower) (string, error) {
	places := make([][2]string, 0, len(bridged)+len(references))
	for _, table := range bridged {
		places = append(places, [2]string{table, "operation_run_id"})
	}
	for _, ref := range references {
		places = append(places, [2]string{ref.table, ref.new})
	}
	var parts []string
	for _, p := range places {
		there, err := exists(ctx, q, hasColumn, p[0], p[1])
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

// missingLimit bounds how many missing runs are noted: more are a mistake made
// elsewhere, such as the wrong operations database.
const missingLimit = 1_000_000

// noteMissing writes down which runs the legacy database refers to and the
// operations database does not have, and answers them.
func (t *Tool) noteMissing(ctx context.Context) ([]int64, error) {
	missing, err := t.findMissing(ctx, t.legacy, t.target)
	if err != nil {
		return nil, fmt.Errorf("look for missing runs: %w", err)
	}
	err = pgx.BeginFunc(ctx, t.legacy, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, clearMissing, missing); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, addMissing, missing)
		return err
	})
	return missing, err
}

// both is a querier and a rower.
type both interface {
	querier
	rower
}

func (t *Tool) findMissing(ctx context.Context, legacy, target both) ([]int64, error) {
	sql, err := t.referred(ctx, legacy)
	if err != nil {
		return nil, err
	}
	wanted, err := streamed[runID](ctx, legacy, sql)
	if err != nil {
		return nil, err
	}
	defer wanted.rows.Close()
	there, err := streamed[runID](ctx, target, existingRuns)
	if err != nil {
		return nil, err
	}
	defer there.rows.Close()
	missing := []int64{}
	err = merge(wanted, there, func(want, is *runID) error {
		if is == nil {
			missing = append(missing, want.ID)
		}
		if len(missing) > missingLimit {
			return fmt.Errorf("more than %d runs are missing, such as %v: is this the operations database that was filled?", missingLimit, missing[:samples])
		}
		return nil
	})
	return slices.Clip(missing), err
}
