package verify

import (
	"context"
	"fmt"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

const planVerify = `-- takeover.planVerify
	select link, count(*), min(legacy_id), max(legacy_id) from tenantpilot_takeover.link_{source} group by link order by link`

// compared counts the rows of one link class.
type compared struct {
	Link              string
	Rows, First, Last int64
}

// plan shows what verify would look at, and which noted writes it would forget.
func (v *verifying) plan(ctx context.Context) error {
	p := &planning{
		verifying: v,
		links:     v.r.Table("Rows to compare with their runs", "table", "link", "rows"),
		fields:    v.r.Table("Rows to compare field by field", "table", "rows", "of them compared"),
		samples:   v.r.Table("Samples", "table", "link", "row", "run", "status", "outcome", "initiator"),
	}
	for _, source := range legacy.Sources {
		if err := p.source(ctx, source); err != nil {
			return err
		}
	}
	return v.planWatch(ctx)
}

// planning is the plan of one call of verify.
type planning struct {
	*verifying
	links, fields, samples *report.Table
}

func (p *planning) source(ctx context.Context, source string) error {
	found, err := query.Collect[compared](ctx, p.Legacy, legacy.In(source, planVerify))
	if err != nil {
		return fmt.Errorf("links of %s: %w", source, err)
	}
	var all int64
	for _, c := range found {
		p.links.Row(source, c.Link, c.Rows)
		all += c.Rows
		samples, err := legacy.Samples(ctx, p.Legacy, source, c.First, c.Last)
		if err != nil {
			return fmt.Errorf("samples of %s: %w", source, err)
		}
		for _, s := range samples {
			p.samples.Row(source, c.Link, s.ID, s.RunID, s.Status, s.Outcome, s.Initiator)
		}
	}
	some := all
	if !p.o.All {
		some = min(all, int64(p.o.Sample))
	}
	p.fields.Row(source, all, some)
	return nil
}

const countWrites = `-- takeover.countWrites
	select count(*) from tenantpilot_takeover.write_seen where source = $1`

// planWatch shows which tables are watched already.
func (v *verifying) planWatch(ctx context.Context) error {
	watches := v.r.Table("Writes to notice from then on", "table", "is watched already", "noted writes to forget")
	for _, table := range legacy.Watched {
		there, err := ledger.Watched(ctx, v.Legacy, table)
		if err != nil {
			return err
		}
		var noted int64
		if err := v.Legacy.QueryRow(ctx, countWrites, table).Scan(&noted); err != nil {
			return err
		}
		watches.Row(table, there, noted)
	}
	return nil
}
