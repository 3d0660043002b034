package backfill

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/transfer"
)

// pass is one pass of backfill over a source.
type pass struct {
	*backfilling
	source                           string
	rows, inserted, removed, bridges int64
	lost                             []int64 // some rows that are linked to runs that were not adopted
	lostCount                        int64
}

// written is a span whose runs are written, and the bridges that have to name them.
type written struct {
	ledger.Span
	rows    int64
	bridges []transfer.Bridge
}

// do copies all spans of the source, beginning where an interrupted pass ended. While it
// writes the bridges of one span, it already copies the next one.
func (p *pass) do(ctx context.Context) error {
	after, err := p.Resume(ctx, "backfill", p.source)
	if err != nil {
		return err
	}
	total, err := p.count(ctx, countRest, after)
	if err != nil {
		return err
	}
	bar := p.Bar("backfill "+p.source, total)
	next := make(chan written)
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(next)
		return p.copyAll(both, after, next)
	})
	group.Go(func() error {
		for w := range next {
			if err := p.writeBack(both, w); err != nil {
				return fmt.Errorf("write the runs of rows %d to %d back: %w", w.After+1, w.Until, err)
			}
			_ = bar.Add64(w.rows)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	_ = bar.Finish()
	return p.Arrived(ctx, "backfill", p.source)
}

const countRest = `-- takeover.countRest
	select count(*) from {source} where id > $1`

func (p *pass) count(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = p.Retried(ctx, func() error { return p.Legacy.QueryRow(ctx, legacy.In(p.source, sql), args...).Scan(&n) })
	return n, err
}

func (p *pass) copyAll(ctx context.Context, after int64, next chan<- written) error {
	for s, err := range p.Spans(ctx, p.source, after) {
		if err != nil {
			return err
		}
		w, err := p.span(ctx, s)
		if err != nil {
			return err
		}
		select {
		case next <- w:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// span makes the rows of s runs, and returns the bridges that have to change.
func (p *pass) span(ctx context.Context, s ledger.Span) (written, error) {
	w := written{Span: s}
	if p.o.History == "import" {
		c, err := transfer.Copy(ctx, p.Ledger, p.source, s)
		if err != nil {
			return w, err
		}
		p.rows, p.inserted, p.removed = p.rows+c.Rows, p.inserted+c.Inserted, p.removed+c.Removed
		w.rows, w.bridges = c.Rows, c.Bridges
	}
	more, err := p.links(ctx, s)
	w.bridges = append(w.bridges, more...)
	return w, err
}

// Rows with a bridge that are not made runs.
const readLinks = `-- takeover.readLinks
	select legacy_id, bridge, run_id, link from tenantpilot_takeover.link_{source}
	where legacy_id > $1 and legacy_id <= $2 and bridge is not null and link = any($3) order by legacy_id`

type link struct {
	ID, Bridge int64
	RunID      *int64
	Link       string
}

const readAdopted = `-- takeover.readAdopted
	select id from operation_runs where id = any($1) and origin = 'legacy'`

// links returns the bridges of a span that have to be translated, because they name a
// canonical run by its old id, or emptied, because they name no valid run. It leaves a row
// alone if its run was not adopted yet.
func (p *pass) links(ctx context.Context, s ledger.Span) ([]transfer.Bridge, error) {
	classes := []string{"linked", "wizard"}
	if p.o.History == "link" {
		classes = append(classes, "dangling", "duplicate", "mismatched")
	}
	var found []link
	err := p.Retried(ctx, func() (err error) {
		found, err = query.Collect[link](ctx, p.Legacy, legacy.In(p.source, readLinks), s.After, s.Until, classes)
		return err
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	adopted, err := p.adopted(ctx, found)
	if err != nil {
		return nil, err
	}
	var bridges []transfer.Bridge
	for _, l := range found {
		switch {
		case l.Link != "linked":
			bridges = append(bridges, transfer.Bridge{ID: l.ID, Old: &l.Bridge})
		case !adopted[*l.RunID]:
			p.lose(l.ID)
		case *l.RunID != l.Bridge:
			bridges = append(bridges, transfer.Bridge{ID: l.ID, Old: &l.Bridge, New: l.RunID})
		}
	}
	return bridges, nil
}

// adopted returns which of the linked runs exist.
func (p *pass) adopted(ctx context.Context, links []link) (map[int64]bool, error) {
	var ids []int64
	for _, l := range links {
		if l.Link == "linked" {
			ids = append(ids, *l.RunID)
		}
	}
	rows, err := p.Operations.Query(ctx, readAdopted, ids)
	if err != nil {
		return nil, err
	}
	adopted := map[int64]bool{}
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		adopted[id] = true
		return nil
	})
	return adopted, err
}

func (p *pass) lose(id int64) {
	p.lostCount++
	if len(p.lost) < report.Samples {
		p.lost = append(p.lost, id)
	}
}

// It locks all rows or fails: if we waited for one while we hold others, the writer that has
// it might wait for one of those.
const lockBridges = `-- takeover.lockBridges
	select id from {source} where id = any($1) order by id for no key update nowait`

// It leaves a row that the older installation has linked meanwhile to the next pass. A value
// that the older installation wrote after an earlier pass replaces the saved one. We know
// such a value because it is none of those that backfill writes: null, the row's own run, or
// a translated id, which is above the offset.
const writeBridges = `-- takeover.writeBridges
	with w as (
		update {source} t set operation_run_id = n.new
		from unnest($1::bigint[], $2::bigint[], $3::bigint[]) n (id, old, new)
		where t.id = n.id and t.operation_run_id is not distinct from n.old
		returning t.id, n.old
	)
	insert into tenantpilot_takeover.saved_bridge (source, id, operation_run_id)
	select '{source}', id, old from w
	on conflict (source, id) do update set operation_run_id = excluded.operation_run_id
	where not exists (select from tenantpilot_takeover.run_block b
			where b.source = '{source}' and excluded.operation_run_id = b.base + excluded.id
				or b.source = 'operation_runs' and b.base > 0 and excluded.operation_run_id > b.base)
		and excluded.operation_run_id is not null`

// writeBack writes the bridges of a span, and that the span is done, in one transaction.
func (p *pass) writeBack(ctx context.Context, w written) error {
	ids, olds, news := make([]int64, len(w.bridges)), make([]*int64, len(w.bridges)), make([]*int64, len(w.bridges))
	for i, b := range w.bridges {
		ids[i], olds[i], news[i] = b.ID, b.Old, b.New
	}
	err := p.Alter(ctx, p.Legacy, func(tx pgx.Tx) error {
		batch := &pgx.Batch{} // a new one for each try, since it holds statements of its connection
		if len(ids) > 0 {
			batch.Queue(legacy.In(p.source, lockBridges), ids)
			batch.Queue(legacy.In(p.source, writeBridges), ids, olds, news)
		}
		batch.Queue(ledger.SaveProgress, "backfill", p.source, w.Until)
		return tx.SendBatch(ctx, batch).Close()
	})
	p.bridges += int64(len(ids))
	return err
}

const countHomeless = `-- takeover.countHomeless
	select count(*) from {source} s where not exists (select from tenantpilot_takeover.tenant_map m where m.legacy_id = s.tenant_id)`

// check reports the rows that could not be linked, and those that could not become runs.
func (p *pass) check(ctx context.Context) error {
	p.r.Check("the runs that rows of "+p.source+" are linked to were adopted", p.lostCount == 0,
		"%d are not: %s; run adopt again", p.lostCount, report.List(report.Some(p.lost)))
	return p.checkTenants(ctx)
}

// checkTenants reports the rows that cannot become runs, since their tenant was not taken over.
func (p *pass) checkTenants(ctx context.Context) error {
	if p.o.History == "link" {
		return nil
	}
	homeless, err := p.count(ctx, countHomeless)
	if err != nil {
		return err
	}
	p.r.Check("every row of "+p.source+" has a tenant that was taken over", homeless == 0, "%d have none", homeless)
	return nil
}
