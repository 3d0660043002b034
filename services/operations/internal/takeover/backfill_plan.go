package takeover

import (
	"context"
	"fmt"
)

const planLinks = `-- takeover.planLinks
	select link, count(*), min(legacy_id), max(legacy_id) from tenantpilot_takeover.link_{source} group by link order by link`

type planned struct {
	Link        string
	Rows        int64
	First, Last int64
}

const planSamples = `-- takeover.planSamples
	select legacy_id, coalesce(run_id, 0), coalesce(status, ''), coalesce(outcome, ''), coalesce(initiator_name, '')
	from tenantpilot_takeover.mapped_{source} where legacy_id = any($1) order by legacy_id`

type plannedRow struct {
	ID, RunID                  int64
	Status, Outcome, Initiator string
}

// plan says what would become of the rows, by the worth of their links.
func (b *backfilling) plan(ctx context.Context) error {
	classes := b.r.table("What becomes of the rows", "table", "link", "rows", "what happens")
	samples := b.r.table("Samples", "table", "link", "row", "becomes run", "status", "outcome", "initiator")
	for _, source := range bridged {
		found, err := collect[planned](ctx, b.legacy, in(source, planLinks))
		if err != nil {
			return fmt.Errorf("links of %s: %w", source, err)
		}
		for _, c := range found {
			what, becomes := b.happens(c.Link)
			classes.row(source, c.Link, c.Rows, what)
			if !becomes {
				continue
			}
			rows, err := collect[plannedRow](ctx, b.legacy, in(source, planSamples), []int64{c.First, c.Last})
			if err != nil {
				return fmt.Errorf("samples of %s: %w", source, err)
			}
			for _, r := range rows {
				samples.row(source, c.Link, r.ID, r.RunID, r.Status, r.Outcome, r.Initiator)
			}
		}
	}
	return nil
}

// happens says what becomes of rows with a link of a kind, and whether it is a run of their own.
func (b *backfilling) happens(link string) (what string, becomes bool) {
	switch {
	case link == "linked":
		return "keeps the run it is linked to", false
	case link == "wizard":
		return "nothing: it was never executed", false
	case link == "imported":
		return "nothing: it has its run, unless it changed", true
	case b.o.History == "import":
		return "becomes a run", true
	case link == "unlinked":
		return "nothing: it goes into the archive", false
	}
	return "loses its link, and goes into the archive", false
}
