package takeover

import (
	"context"
	"fmt"
)

const planAnalyse = `-- takeover.planAnalyse
	select coalesce(array_agg(id order by id), '{}') from (select id from {table} order by id limit $1) s`

// planAnalyse says what analyse would read, by what the planner thinks there is: to
// count it is what analyse does. With some rows of each table it would measure.
func (t *Tool) planAnalyse(ctx context.Context, r *Report) error {
	tables := r.table("Tables to read from end to end", "table", "rows, about", "rows to measure with, at most", "first ids")
	for _, table := range runTables {
		var rows int64
		if err := t.legacy.QueryRow(ctx, estimateRows, table.name).Scan(&rows); err != nil {
			return fmt.Errorf("rows of %s: %w", table.name, err)
		}
		var first []int64
		if err := t.legacy.QueryRow(ctx, table.in(planAnalyse), samples).Scan(&first); err != nil {
			return fmt.Errorf("first rows of %s: %w", table.name, err)
		}
		tables.row(table.name, rows, probeRows, orNone(printed(first)))
	}
	return nil
}
