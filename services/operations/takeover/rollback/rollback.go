// Package rollback undoes stages, the last one first. It knows in which order, and the
// stages know what they have to undo.
package rollback

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// Options are the flags of rollback.
type Options struct {
	Plan bool   // change nothing, and show what there is to undo
	To   string // the stage to undo, after all later ones
}

// Step undoes one stage. It may be interrupted and repeated, also if there is nothing to
// undo.
type Step struct {
	Stage string
	Undo  func(context.Context, *ledger.Ledger, *report.Report) error
}

const forgetStage = `-- takeover.forgetStage
	delete from tenantpilot_takeover.stage where name = $1`

// Run undoes the steps from the first, which is the last stage, to the one of the stage
// o.To. Undoing analyse removes every trace of the takeover from the legacy database, and
// then the ledger is of no use any more. What tenancy has stays: adopting again finds it.
func Run(ctx context.Context, l *ledger.Ledger, steps []Step, o Options) (*report.Report, error) {
	last := slices.IndexFunc(steps, func(s Step) bool { return s.Stage == o.To })
	if last < 0 {
		return nil, fmt.Errorf("%q is no stage that can be undone: name drop, repoint, verify, backfill, adopt or analyse", o.To)
	}
	r, err := l.Stage(ctx, "rollback", o.Plan, map[string]string{"to": o.To}, func(ctx context.Context, r *report.Report) error {
		if err := countUndone(ctx, l, r); err != nil || o.Plan {
			return err
		}
		for _, s := range steps[:last+1] {
			if err := s.Undo(ctx, l, r); err != nil {
				return fmt.Errorf("undo %s: %w", s.Stage, err)
			}
			if _, err := l.Legacy.Exec(ctx, forgetStage, s.Stage); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !o.Plan && o.To == "analyse" {
		err = forget(ctx, l)
	}
	return r, err
}

const forgetPair = `-- takeover.forgetPair
	delete from takeover`

const forgetAll = `-- takeover.forgetAll
	drop schema tenantpilot_takeover cascade`

// forget removes the schema of the takeover, and its id from the operations database.
func forget(ctx context.Context, l *ledger.Ledger) error {
	if _, err := l.Operations.Exec(ctx, forgetPair); err != nil {
		return fmt.Errorf("forget the takeover: %w", err)
	}
	return l.Alter(ctx, l.Legacy, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, forgetAll)
		return err
	})
}

// Counting these is fast enough.
const countSaved = `-- takeover.countSaved
	select 'bridge of ' || source, count(*) from tenantpilot_takeover.saved_bridge group by 1
	union all
	select table_name || '.' || column_name, count(*) from tenantpilot_takeover.saved_reference group by 1
	union all
	select 'what ' || stage || ' dropped', count(*) from tenantpilot_takeover.dropped group by 1
	order by 1`

const countLegacyRuns = `-- takeover.countLegacyRuns
	select b.source, (select count(*) from operation_runs r where r.id > b.base and r.id <= b.base + b.last_legacy_id and r.origin = 'legacy')
	from takeover_block b order by 1`

// countUndone reports what there is to undo, of all stages.
func countUndone(ctx context.Context, l *ledger.Ledger, r *report.Report) error {
	saved, err := query.Collect[ledger.Counted](ctx, l.Legacy, countSaved)
	if err != nil {
		return err
	}
	values := r.Table("Saved in the legacy database", "what", "rows")
	for _, c := range saved {
		values.Row(c.What, c.Rows)
	}
	made, err := query.Collect[ledger.Counted](ctx, l.Operations, countLegacyRuns)
	if err != nil {
		return err
	}
	runs := r.Table("Runs in the operations database", "made of", "runs")
	for _, c := range made {
		runs.Row(c.What, c.Rows)
	}
	return nil
}
