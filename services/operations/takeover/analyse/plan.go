package analyse

import (
	"context"
	"fmt"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

const planAnalyse = `-- takeover.planAnalyse
	select coalesce(array_agg(id order by id), '{}') from (select id from {table} order by id limit $1) s`

// plan shows what analyse would read, with the planner's estimates: counting is what
// analyse does itself.
func (a *analysis) plan(ctx context.Context) error {
	tables := a.r.Table("Tables to read from end to end", "table", "rows, about", "rows to measure with, at most", "first ids")
	for _, table := range legacy.RunTables {
		rows, err := query.EstimateRows(ctx, a.Legacy, table.Name)
		if err != nil {
			return fmt.Errorf("rows of %s: %w", table.Name, err)
		}
		var first []int64
		if err := a.Legacy.QueryRow(ctx, table.In(planAnalyse), report.Samples).Scan(&first); err != nil {
			return fmt.Errorf("first rows of %s: %w", table.Name, err)
		}
		tables.Row(table.Name, rows, probeRows, report.List(report.Some(first)))
	}
	return nil
}
