package takeover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// undoing is one run of rollback.
type undoing struct {
	*Tool
	r *Report
}

// undo takes back what a stage left behind. It may be stopped and repeated, also
// where there is nothing to take back.
type undo struct {
	stage string
	do    func(*undoing, context.Context) error
}

// undos are the stages from the last to the first.
var undos = []undo{
	{"drop", (*undoing).drop},
	{"repoint", (*undoing).repoint},
	{"verify", (*undoing).verify},
	{"backfill", (*undoing).backfill},
	{"adopt", (*undoing).adopt},
	{"analyse", func(*undoing, context.Context) error { return nil }},
}

const forgetStage = `-- takeover.forgetStage
	delete from tenantpilot_takeover.stage where name = $1`

// Rollback takes back the stage it is told and all that came later, the last first.
// Taking back analyse leaves no trace of the takeover in the legacy database. What
// tenancy made stays: adopting again finds it.
func (t *Tool) Rollback(ctx context.Context, o RollbackOptions) (*Report, error) {
	last := slices.IndexFunc(undos, func(u undo) bool { return u.stage == o.To })
	if last < 0 {
		return nil, fmt.Errorf("%q is no stage that can be taken back: name drop, repoint, verify, backfill, adopt or analyse", o.To)
	}
	r, err := t.run(ctx, "rollback", o.Plan, map[string]string{"to": o.To}, func(ctx context.Context, r *Report) error {
		if err := t.countUndone(ctx, r); err != nil || o.Plan {
			return err
		}
		u := &undoing{Tool: t, r: r}
		for _, step := range undos[:last+1] {
			if err := step.do(u, ctx); err != nil {
				return fmt.Errorf("take back %s: %w", step.stage, err)
			}
			if _, err := t.legacy.Exec(ctx, forgetStage, step.stage); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !o.Plan && o.To == "analyse" {
		err = t.forget(ctx)
	}
	return r, err
}

const forgetPair = `-- takeover.forgetPair
	delete from takeover`

const forgetAll = `-- takeover.forgetAll
	drop schema tenantpilot_takeover cascade`

// forget removes the last of the takeover. The tool is of no use after it.
func (t *Tool) forget(ctx context.Context) error {
	if _, err := t.target.Exec(ctx, forgetPair); err != nil {
		return fmt.Errorf("forget the takeover: %w", err)
	}
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, forgetAll)
		return err
	})
}

// Estimates would do, but these are counted fast enough.
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

type counted struct {
	What string
	Rows int64
}

// countUndone tells what there is to take back, of all stages.
func (t *Tool) countUndone(ctx context.Context, r *Report) error {
	saved, err := collect[counted](ctx, t.legacy, countSaved)
	if err != nil {
		return err
	}
	values := r.table("Saved in the legacy database", "what", "rows")
	for _, c := range saved {
		values.row(c.What, c.Rows)
	}
	made, err := collect[counted](ctx, t.target, countLegacyRuns)
	if err != nil {
		return err
	}
	runs := r.table("Runs in the operations database", "made of", "runs")
	for _, c := range made {
		runs.row(c.What, c.Rows)
	}
	return nil
}

// As adopt and the cut-over left it.
const holdAgain = `-- takeover.holdAgain
	insert into workspace_hold (workspace_id, starts_allowed)
	select w, $2 or exists (select from operation_runs r where r.workspace_id = w and r.origin = 'live')
	from unnest($1::bigint[]) w on conflict do nothing`

const wasCutOver = `-- takeover.wasCutOver
	select cut_over_at is not null from tenantpilot_takeover.takeover`

const mappedWorkspaces = `-- takeover.mappedWorkspaces
	select distinct workspace_id from tenantpilot_takeover.workspace_map order by 1`

// drop renames the tables back, and keeps retention away again.
func (u *undoing) drop(ctx context.Context) error {
	for _, table := range slices.Backward(droppable) {
		if err := u.unarchive(ctx, table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	if err := u.bringBack(ctx, u.r, "drop", nothingMore); err != nil {
		return err
	}
	if err := u.watchAgain(ctx); err != nil {
		return err
	}
	rows, err := u.legacy.Query(ctx, mappedWorkspaces)
	if err != nil {
		return err
	}
	workspaces, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	over, err := exists(ctx, u.legacy, wasCutOver)
	if err != nil {
		return err
	}
	_, err = u.target.Exec(ctx, holdAgain, workspaces, over)
	return err
}

const noteUnseen = `-- takeover.noteUnseen
	insert into tenantpilot_takeover.write_seen (source) values ($1)`

// watchAgain watches the tables that drop has watched no more. What was written to
// them meanwhile nobody has seen: verify has to look again.
func (u *undoing) watchAgain(ctx context.Context) error {
	for _, table := range staying {
		verified, err := exists(ctx, u.legacy, stageBegan, "verify")
		if err != nil || !verified {
			return err
		}
		there, err := exists(ctx, u.legacy, hasTrigger, table, "tenantpilot_write_seen")
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := u.legacy.Exec(ctx, noteUnseen, table); err != nil {
			return err
		}
		if err := u.watch(ctx, table); err != nil {
			return fmt.Errorf("watch %s: %w", table, err)
		}
	}
	return nil
}

func nothingMore(context.Context, gone) error { return nil }

const restoreName = `-- takeover.restoreName
	alter table {name} rename to {table}`

func (u *undoing) unarchive(ctx context.Context, table string) error {
	in := strings.NewReplacer("{table}", table, "{name}", archived(table))
	return u.alter(ctx, u.legacy, func(tx pgx.Tx) error {
		there, err := exists(ctx, tx, isTable, archived(table))
		if err != nil || !there {
			return err
		}
		_, err = tx.Exec(ctx, in.Replace(restoreName))
		return err
	})
}

// verify removes the triggers, and what it noted.
func (u *undoing) verify(ctx context.Context) error {
	for _, table := range watched {
		if err := u.unwatch(ctx, table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	_, err := u.legacy.Exec(ctx, forgetWrites)
	return err
}

const forgetWrites = `-- takeover.forgetWrites
	delete from tenantpilot_takeover.write_seen`
