package backfill

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// It counts the rows of each link class. Rows whose tenant was not taken over become no run.
const planLinks = `-- takeover.planLinks
	select r.link, count(*), count(*) filter (where not r.housed), count(*) filter (where r.housed and r.outcome = 'pending'),
		count(*) filter (where r.housed and r.given_up), coalesce(min(r.id) filter (where r.housed), 0),
		coalesce(max(r.id) filter (where r.housed), 0), coalesce(min(r.id) filter (where r.housed and r.given_up), 0)
	from (
		select k.link, k.legacy_id as id, k.{workspace} is not null as housed, l.outcome, l.given_up
		from tenantpilot_takeover.link_{source} k
		cross join lateral (select * from tenantpilot_takeover.life({word}, k.started_at, k.finished_at, k.created_at, k.updated_at) offset 0) l
	) r
	group by r.link order by r.link`

// planned is what is known of the rows of one link class.
type planned struct {
	Link                            string
	Rows, Homeless, Active, GivenUp int64
	First, Last, FirstGivenUp       int64
}

// planning is the plan of one call of backfill.
type planning struct {
	*backfilling
	tx               pgx.Tx
	classes, samples *report.Table
}

// plan shows what the rows would become. This depends on the options, which the views read
// from the ledger: so it saves them, and rolls that back.
func (b *backfilling) plan(ctx context.Context) error {
	p := &planning{
		backfilling: b,
		classes:     b.r.Table("What becomes of the rows", "table", "link", "rows", "what happens", "still active", "given up", "left out without a tenant"),
		samples:     b.r.Table("Samples", "table", "link", "row", "becomes run", "status", "outcome", "initiator"),
	}
	return query.RolledBack(ctx, b.Legacy, func(tx pgx.Tx) error {
		p.tx = tx
		if _, err := tx.Exec(ctx, decideBackfill, b.o.History, b.o.StaleAfter, b.o.CutOver); err != nil {
			return err
		}
		for _, source := range legacy.Sources {
			if err := p.source(ctx, source); err != nil {
				return fmt.Errorf("plan %s: %w", source, err)
			}
		}
		return nil
	})
}

// source plans one table.
func (p *planning) source(ctx context.Context, source string) error {
	found, err := query.Collect[planned](ctx, p.tx, linksToPlan(source))
	if err != nil {
		return err
	}
	for _, c := range found {
		what, becomes := p.happens(c.Link)
		if !becomes {
			p.classes.Row(source, c.Link, c.Rows, what, 0, 0, 0)
			continue
		}
		p.classes.Row(source, c.Link, c.Rows, what, c.Active, c.GivenUp, c.Homeless)
		rows, err := legacy.Samples(ctx, p.tx, source, c.First, c.Last, c.FirstGivenUp)
		if err != nil {
			return err
		}
		for _, r := range rows {
			p.samples.Row(source, c.Link, r.ID, r.RunID, r.Status, r.Outcome, r.Initiator)
		}
	}
	if source == legacy.CanonicalRuns {
		return nil
	}
	return (&pass{backfilling: p.backfilling, source: source}).checkTenants(ctx)
}

// linksToPlan returns the statement for a source. Canonical rows have an outcome besides
// their status, and another column with the new workspace.
func linksToPlan(source string) string {
	word, workspace := "tenantpilot_takeover.word(k.status)", "workspace_id"
	if source == legacy.CanonicalRuns {
		word, workspace = "tenantpilot_takeover.run_word(k.status, k.outcome)", "new_workspace_id"
	}
	return strings.NewReplacer("{source}", source, "{word}", word, "{workspace}", workspace).Replace(planLinks)
}

// happens returns what happens to the rows of a link class, and whether they have or get a
// run of their own.
func (b *backfilling) happens(link string) (what string, becomes bool) {
	switch {
	case link == "adopt":
		return "has its run, which ends if the row is given up", true
	case link == "archived":
		return "nothing: its type stays behind", false
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
