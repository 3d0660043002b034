// Package backfill makes the rows of the legacy run tables runs of the operations database,
// and writes the ids of the runs back. The older installation may go on meanwhile.
package backfill

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/transfer"
)

// Options are the flags of backfill.
type Options struct {
	Plan       bool
	History    string        // "import" or "link"; decided once
	StaleAfter time.Duration // active rows that nothing touched for longer are given up
	CutOver    bool          // every active row is given up, and live runs may start
	Timezone   string        // the zone that was given to adopt, or empty
}

// shown returns the options as a report shows them.
func (o Options) shown() map[string]string {
	shown := map[string]string{"history": o.History, "stale-after": o.StaleAfter.String()}
	if o.CutOver {
		shown["cut-over"] = "true"
	}
	return shown
}

// backfilling is one call of backfill.
type backfilling struct {
	*ledger.Ledger
	o Options
	r *report.Report
}

// Run makes every row of the legacy run tables a run, and writes its id back. If history
// is only linked, it makes no runs, and keeps the valid links. What the older installation
// writes meanwhile is picked up by the next call.
func Run(ctx context.Context, l *ledger.Ledger, o Options) (*report.Report, error) {
	b := &backfilling{Ledger: l, o: o}
	if err := b.allowed(ctx); err != nil {
		return nil, err // before the stage begins: a stage that has passed stays so
	}
	return l.Stage(ctx, "backfill", o.Plan, o.shown(), func(ctx context.Context, r *report.Report) error {
		b.r = r
		if o.Plan {
			return b.plan(ctx)
		}
		return b.do(ctx)
	})
}

// allowed returns an error if the options cannot be carried out.
func (b *backfilling) allowed(ctx context.Context) error {
	if err := b.Requires(ctx, "adopt"); err != nil {
		return err
	}
	if b.o.StaleAfter < 0 {
		return fmt.Errorf("--stale-after %s is negative", b.o.StaleAfter)
	}
	return b.decided(ctx)
}

const readDecided = `-- takeover.readDecided
	select coalesce(history, ''), timezone from tenantpilot_takeover.takeover`

func (b *backfilling) decided(ctx context.Context) error {
	var history, zone string
	if err := b.Legacy.QueryRow(ctx, readDecided).Scan(&history, &zone); err != nil {
		return err
	}
	switch {
	case b.o.History != "import" && b.o.History != "link":
		return fmt.Errorf("--history %q is neither import nor link", b.o.History)
	case history != "" && history != b.o.History:
		return fmt.Errorf("--history %s was decided before: roll backfill back to change that", history)
	case b.o.Timezone != "" && b.o.Timezone != zone:
		return fmt.Errorf("--legacy-timezone was %s when runs were adopted: roll adopt back to change that", zone)
	}
	return nil
}

// do runs the steps in an order in which each may be interrupted and repeated.
func (b *backfilling) do(ctx context.Context) error {
	if err := b.decide(ctx); err != nil {
		return err
	}
	if err := b.refreshCanonical(ctx); err != nil {
		return err
	}
	became := b.r.Table("Rows and their runs", "table", "rows that are runs", "of them new or changed", "runs removed or changed", "bridges written")
	for _, source := range legacy.Bridged {
		if err := b.dropKeys(ctx, source); err != nil {
			return err
		}
		p := &pass{backfilling: b, source: source}
		if err := p.do(ctx); err != nil {
			return fmt.Errorf("backfill %s: %w", source, err)
		}
		became.Row(source, p.rows, p.inserted, p.removed, p.bridges)
		if err := p.check(ctx); err != nil {
			return err
		}
	}
	if err := b.dropKeys(ctx, "inventory_items"); err != nil {
		return err
	}
	if err := transfer.Analyze(ctx, b.Ledger); err != nil {
		return err
	}
	return b.cutOver(ctx)
}

// An interrupted pass goes on with its own stale_before. A cut-over does not: rows that were
// active for that pass must end, so it begins again with the first row.
const decideBackfill = `-- takeover.decideBackfill
	with k as (
		update tenantpilot_takeover.takeover set history = $1, stale_before = case
			when $3 then 'infinity'
			when exists (select from tenantpilot_takeover.progress where stage = 'backfill') then stale_before
			else greatest(stale_before, now() - $2::interval) end
		returning 1
	)
	delete from tenantpilot_takeover.progress
	where stage = 'backfill' and $3 and exists (select from tenantpilot_takeover.takeover where stale_before < 'infinity')`

func (b *backfilling) decide(ctx context.Context) error {
	if _, err := b.Legacy.Exec(ctx, decideBackfill, b.o.History, b.o.StaleAfter, b.o.CutOver); err != nil {
		return fmt.Errorf("save what was decided: %w", err)
	}
	return nil
}

const readActive = `-- takeover.readActive
	select id - $1 from operation_runs
	where status <> 'completed' and origin = 'legacy' and id > $1 and id <= $2 order by id`

// refreshCanonical gives up canonical runs that are still active and that nothing touched
// for too long.
func (b *backfilling) refreshCanonical(ctx context.Context) error {
	block, err := b.BlockOf(ctx, legacy.CanonicalRuns)
	if err != nil {
		return err
	}
	active, err := query.Column[int64](ctx, b.Operations, readActive, block.Base, block.End())
	if err != nil {
		return fmt.Errorf("read active runs: %w", err)
	}
	for len(active) > 0 {
		s := ledger.Span{After: active[0] - 1, Until: active[0]}
		for len(active) > 0 && active[0] < s.After+ledger.BatchRows {
			s.Until, active = active[0], active[1:]
		}
		if _, err := transfer.Copy(ctx, b.Ledger, legacy.CanonicalRuns, s); err != nil {
			return err
		}
	}
	return nil
}

const dropBridgeKeys = `-- takeover.dropBridgeKeys
	with k as (
		select conname, conrelid::regclass::text as place, pg_get_constraintdef(oid) as definition
		from pg_constraint where conrelid = to_regclass($1) and confrelid = to_regclass('operation_runs') and contype = 'f'
	), r as (
		insert into tenantpilot_takeover.dropped (stage, table_name, name, definition)
		select 'backfill', $1, conname, format('alter table %s add constraint %I %s', place, conname, definition) from k order by conname
		on conflict do nothing
	)
	select format('alter table %s drop constraint %I', place, conname) from k order by conname`

// dropKeys drops the foreign keys of a table to legacy canonical runs, since its bridges
// will name runs of the operations database. [Undo] makes the keys again.
func (b *backfilling) dropKeys(ctx context.Context, table string) error {
	err := b.Alter(ctx, b.Legacy, func(tx pgx.Tx) error {
		drops, err := query.Column[string](ctx, tx, dropBridgeKeys, table)
		if err != nil || len(drops) == 0 {
			return err
		}
		if err := query.LockTable(ctx, tx, legacy.CanonicalRuns); err != nil {
			return err
		}
		if err := query.LockMore(ctx, tx, table); err != nil {
			return err
		}
		for _, sql := range drops {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop the foreign keys of %s to canonical runs: %w", table, err)
	}
	return nil
}

const allowStarts = `-- takeover.allowStarts
	update workspace_hold set starts_allowed = true where not starts_allowed`

const saveCutOver = `-- takeover.saveCutOver
	update tenantpilot_takeover.takeover set cut_over_at = coalesce(cut_over_at, now())`

// cutOver lets live runs start, if no imported run is active.
func (b *backfilling) cutOver(ctx context.Context) error {
	active, err := b.CountActiveRuns(ctx)
	if err != nil {
		return fmt.Errorf("count active runs: %w", err)
	}
	if !b.o.CutOver {
		b.r.Find(report.Finding{Code: "still_active", Count: active,
			Message: "runs that are still active: the cut-over ends them, before live runs start"})
		return nil
	}
	b.r.Check("no imported run is active", active == 0, "%d are", active)
	if active > 0 {
		return nil
	}
	tag, err := b.Operations.Exec(ctx, allowStarts)
	if err != nil {
		return fmt.Errorf("allow live starts: %w", err)
	}
	if _, err := b.Legacy.Exec(ctx, saveCutOver); err != nil {
		return fmt.Errorf("save the cut-over: %w", err)
	}
	b.r.Check("live runs may start", true, "in %d workspaces that waited for it", tag.RowsAffected())
	return nil
}
