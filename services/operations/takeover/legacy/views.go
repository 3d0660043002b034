package legacy

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

//go:embed views
var views embed.FS

const dropViews = `-- takeover.dropViews
	drop view if exists tenantpilot_takeover.mapped_{source}, tenantpilot_takeover.link_{source}, tenantpilot_takeover.row_{source}`

// MakeViews replaces the views that say what each legacy row becomes. A source whose
// table or columns do not exist gets no view; this includes archived tables.
func MakeViews(ctx context.Context, tx pgx.Tx) error {
	for _, source := range Sources {
		if _, err := tx.Exec(ctx, In(source, dropViews)); err != nil {
			return fmt.Errorf("drop the views of %s: %w", source, err)
		}
	}
	for _, file := range append([]string{"rules"}, Sources...) {
		if err := makeFrom(ctx, tx, file); err != nil && !query.Lacking(err) {
			return err
		}
	}
	_, err := tx.Exec(ctx, analyseMaps)
	return err
}

// Without statistics the planner assumes hundreds of rows in a table that has one.
const analyseMaps = `-- takeover.analyseMaps
	analyze tenantpilot_takeover.takeover, tenantpilot_takeover.run_block, tenantpilot_takeover.type_map,
		tenantpilot_takeover.workspace_map, tenantpilot_takeover.tenant_map, tenantpilot_takeover.user_map`

// makeFrom runs a file of views in a savepoint, so that one that fails does not undo
// the others.
func makeFrom(ctx context.Context, tx pgx.Tx, name string) error {
	sql, err := views.ReadFile("views/" + name + ".sql")
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
		_, err := sp.Exec(ctx, string(sql))
		return err
	})
	if err != nil {
		return fmt.Errorf("make the views of %s: %w", name, err)
	}
	return nil
}

const readSamples = `-- takeover.readSamples
	select legacy_id, coalesce(run_id, 0), coalesce(status, ''), coalesce(outcome, ''), coalesce(initiator_name, '')
	from tenantpilot_takeover.mapped_{source} where legacy_id = any($1) order by legacy_id`

// Sample is a row and the run that it becomes, for a plan to show.
type Sample struct {
	ID, RunID                  int64
	Status, Outcome, Initiator string
}

// Samples returns what the rows ids of source become.
func Samples(ctx context.Context, q query.Rows, source string, ids ...int64) ([]Sample, error) {
	return query.Collect[Sample](ctx, q, In(source, readSamples), ids)
}
