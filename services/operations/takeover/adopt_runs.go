package takeover

import (
	"context"
	"fmt"
)

// adoptRuns copies the runs that are canonical already, and tells how many there are.
func (a *adoption) adoptRuns(ctx context.Context) error {
	after, err := a.resume(ctx, "adopt", canonicalRuns)
	if err != nil {
		return err
	}
	var total, rows, inserted, removed int64
	if err := a.legacy.QueryRow(ctx, countAfter, after).Scan(&total); err != nil {
		return fmt.Errorf("count canonical runs: %w", err)
	}
	bar := a.bar("adopt "+canonicalRuns, total)
	for s, err := range a.ranges(ctx, canonicalRuns, after) {
		if err != nil {
			return err
		}
		c, err := a.copyRuns(ctx, canonicalRuns, s.after, s.until)
		if err != nil {
			return err
		}
		rows, inserted, removed = rows+c.Rows, inserted+c.Inserted, removed+c.Removed
		if err := a.came(ctx, "adopt", canonicalRuns, s.until); err != nil {
			return err
		}
		_ = bar.Add64(c.Rows)
	}
	_ = bar.Finish()
	a.r.table("Canonical runs", "adopted", "of them new or changed", "removed or changed").row(rows, inserted, removed)
	if err := a.recounted(ctx); err != nil {
		return err
	}
	return a.arrived(ctx, "adopt", canonicalRuns)
}

const countAfter = `-- takeover.countAfter
	select count(*) from operation_runs where id > $1`

const readProgress = `-- takeover.readProgress
	select coalesce(max(last_id), 0) from tenantpilot_takeover.progress where stage = $1 and source = $2`

// resume answers how far an interrupted pass of a stage came in a source, 0 if none was.
func (t *Tool) resume(ctx context.Context, stage, source string) (id int64, err error) {
	if err := t.legacy.QueryRow(ctx, readProgress, stage, source).Scan(&id); err != nil {
		return 0, fmt.Errorf("read how far %s came: %w", stage, err)
	}
	return id, nil
}

const saveProgress = `-- takeover.saveProgress
	insert into tenantpilot_takeover.progress (stage, source, last_id) values ($1, $2, $3)
	on conflict (stage, source) do update set last_id = excluded.last_id`

// came remembers how far a pass came.
func (t *Tool) came(ctx context.Context, stage, source string, id int64) error {
	if _, err := t.legacy.Exec(ctx, saveProgress, stage, source, id); err != nil {
		return fmt.Errorf("remember how far %s came: %w", stage, err)
	}
	return nil
}

const endProgress = `-- takeover.endProgress
	delete from tenantpilot_takeover.progress where stage = $1 and source = $2`

// arrived ends a pass: the next begins anew.
func (t *Tool) arrived(ctx context.Context, stage, source string) error {
	if _, err := t.legacy.Exec(ctx, endProgress, stage, source); err != nil {
		return fmt.Errorf("end the pass of %s: %w", stage, err)
	}
	return nil
}
