package takeover

import (
	"context"
	"fmt"
)

const planVerify = `-- takeover.planVerify
	select link, count(*), min(legacy_id), max(legacy_id) from tenantpilot_takeover.link_{source} group by link order by link`

// compared are the rows whose links are worth the same.
type compared struct {
	Link              string
	Rows, First, Last int64
}

// planVerify says what verify would look at, and which writes it would forget.
func (t *Tool) planVerify(ctx context.Context, r *Report, o VerifyOptions) error {
	links := r.table("Rows to hold against their runs", "table", "link", "rows")
	fields := r.table("Rows to compare field by field", "table", "rows", "of them compared")
	shown := r.table("Samples", "table", "link", "row", "run", "status", "outcome", "initiator")
	for _, source := range sources {
		found, err := collect[compared](ctx, t.legacy, in(source, planVerify))
		if err != nil {
			return fmt.Errorf("links of %s: %w", source, err)
		}
		var all int64
		for _, c := range found {
			links.row(source, c.Link, c.Rows)
			all += c.Rows
			rows, err := collect[plannedRow](ctx, t.legacy, in(source, planSamples), []int64{c.First, c.Last})
			if err != nil {
				return fmt.Errorf("samples of %s: %w", source, err)
			}
			for _, s := range rows {
				shown.row(source, c.Link, s.ID, s.RunID, s.Status, s.Outcome, s.Initiator)
			}
		}
		some := all
		if !o.All {
			some = min(all, int64(o.Sample))
		}
		fields.row(source, all, some)
	}
	return t.planWatch(ctx, r)
}

const countWrites = `-- takeover.countWrites
	select count(*) from tenantpilot_takeover.write_seen where source = $1`

// planWatch says which tables have yet to be watched.
func (t *Tool) planWatch(ctx context.Context, r *Report) error {
	watches := r.table("Writes to notice from then on", "table", "is watched already", "noted writes to forget")
	for _, table := range watched {
		there, err := exists(ctx, t.legacy, hasTrigger, table, "tenantpilot_write_seen")
		if err != nil {
			return err
		}
		var noted int64
		if err := t.legacy.QueryRow(ctx, countWrites, table).Scan(&noted); err != nil {
			return err
		}
		watches.row(table, there, noted)
	}
	return nil
}
