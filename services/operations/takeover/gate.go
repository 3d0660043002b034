package takeover

import (
	"context"
	"fmt"
	"strings"
)

// gates checks everything that has to hold before a table is archived. Behind the
// last there are none: an interrupted run has only to come to its end.
func (a *archiving) gates(ctx context.Context, r *Report) error {
	if all, err := a.allArchived(ctx); err != nil || all {
		return err
	}
	if err := a.stageGates(ctx, r); err != nil {
		return err
	}
	r.check("a snapshot was taken", a.options.Snapshot != "", "--snapshot names it: %q", a.options.Snapshot)
	if err := a.writeGate(ctx, r); err != nil {
		return err
	}
	if err := a.activeGate(ctx, r); err != nil {
		return err
	}
	if err := a.unlinkedGate(ctx, r); err != nil {
		return err
	}
	return a.inboundGate(ctx, r)
}

func (a *archiving) allArchived(ctx context.Context) (bool, error) {
	for _, table := range droppable {
		if gone, err := a.isArchived(ctx, a.legacy, table); err != nil || !gone {
			return false, err
		}
	}
	return true, nil
}

// activeGate keeps runs from staying active for ever: once their rows are in the
// archive, nobody ends them.
func (a *archiving) activeGate(ctx context.Context, r *Report) error {
	var active int64
	if err := a.target.QueryRow(ctx, countActiveRuns).Scan(&active); err != nil {
		return err
	}
	r.check("no run that was taken over is active", active == 0, "%d are: backfill --cut-over ends them", active)
	return nil
}

func (a *archiving) stageGates(ctx context.Context, r *Report) error {
	for _, stage := range []string{"verify", "repoint"} {
		passed, err := exists(ctx, a.legacy, stagePassed, stage)
		if err != nil {
			return err
		}
		r.check(stage+" has passed", passed, "%s", map[bool]string{true: "yes", false: "run it to its end first"}[passed])
	}
	stale, err := exists(ctx, a.legacy, changedSinceVerify)
	if err != nil {
		return err
	}
	r.check("verify came after adopt, backfill and repoint", !stale, "%s", map[bool]string{true: "verify again", false: "yes"}[stale])
	for _, ref := range references {
		there, err := exists(ctx, a.legacy, hasColumn, ref.table, ref.old)
		if err != nil {
			return err
		}
		r.check(ref.String()+" is gone", !there, "%s", map[bool]string{true: "it is there: run repoint", false: "repoint has dropped it"}[there])
	}
	return nil
}

const changedSinceVerify = `-- takeover.changedSinceVerify
	select exists (select from tenantpilot_takeover.stage s join tenantpilot_takeover.stage v on v.name = 'verify'
		where s.name in ('adopt', 'backfill', 'repoint') and s.began_at > v.began_at)`

const sumWrites = `-- takeover.sumWrites
	select source, count(*), max(at)::text from tenantpilot_takeover.write_seen group by source order by source`

type writes struct {
	Source string
	Count  int64
	Last   string
}

const missingTriggers = `-- takeover.missingTriggers
	select w from unnest($1::text[]) w where coalesce(to_regclass(w), to_regclass('_archive_' || w)) is not null and not exists (
		select from pg_trigger where tgrelid = coalesce(to_regclass(w), to_regclass('_archive_' || w)) and tgname = 'tenantpilot_write_seen' and tgenabled in ('O', 'A'))
	order by w`

func (a *archiving) writeGate(ctx context.Context, r *Report) error {
	seen, err := collect[writes](ctx, a.legacy, sumWrites)
	if err != nil {
		return err
	}
	said := make([]string, len(seen))
	for i, w := range seen {
		said[i] = fmt.Sprintf("%d in %s, last at %s", w.Count, w.Source, w.Last)
	}
	r.check("nothing was written since verify looked", len(seen) == 0, "writes: %s", orNone(said))
	blind, err := texts(ctx, a.legacy, missingTriggers, watched)
	r.check("every write since then would have been seen", len(blind) == 0, "tables without the trigger: %s", orNone(blind))
	return err
}

const countUnlinked = `-- takeover.countUnlinked
	select count(*) from {table} where operation_run_id is null`

// unlinkedGate counts what is archived already too, so that an interrupted run may
// be told the same number again.
func (a *archiving) unlinkedGate(ctx context.Context, r *Report) error {
	counts := r.table("Rows to archive", "table", "rows without a run")
	var all int64
	for _, table := range droppable {
		name := table
		if done, err := a.isArchived(ctx, a.legacy, table); err != nil {
			return err
		} else if done {
			name = archived(table)
		}
		var n int64
		if err := a.legacy.QueryRow(ctx, strings.ReplaceAll(countUnlinked, "{table}", name)).Scan(&n); err != nil {
			return err
		}
		counts.row(table, n)
		a.unlinked[table], all = n, all+n
	}
	history, err := a.history(ctx)
	if err != nil {
		return err
	}
	if history == "link" {
		r.check("the rows without a run are as many as was said", all == a.options.ArchiveUnlinked,
			"%d are without a run, --archive-unlinked says %d", all, a.options.ArchiveUnlinked)
		return nil
	}
	r.check("every row has a run", all == 0 && a.options.ArchiveUnlinked == 0,
		"%d are without a run; --archive-unlinked (%d) is for history that is only linked", all, a.options.ArchiveUnlinked)
	return nil
}

const getHistory = `-- takeover.getHistory
	select coalesce(history, '') from tenantpilot_takeover.takeover`

func (t *Tool) history(ctx context.Context) (history string, err error) {
	err = t.legacy.QueryRow(ctx, getHistory).Scan(&history)
	return history, err
}

const inboundKeys = `-- takeover.inboundKeys
	select conrelid::regclass::text || '.' || conname from pg_constraint
	where contype = 'f' and confrelid = to_regclass($1) and conrelid <> confrelid order by 1`

func (a *archiving) inboundGate(ctx context.Context, r *Report) error {
	for _, table := range droppable {
		keys, err := texts(ctx, a.legacy, inboundKeys, table)
		if err != nil {
			return err
		}
		r.check("no foreign key refers to "+table, len(keys) == 0, "%s", orNone(keys))
	}
	return nil
}

// gatesAgain looks at what may have changed before the table was locked.
func (a *archiving) gatesAgain(ctx context.Context, tx both, table string) error {
	seen, err := collect[writes](ctx, tx, sumWrites)
	if err != nil {
		return err
	}
	if len(seen) > 0 {
		return fmt.Errorf("%w: %s was written to since verify looked: roll back to drop if a table is archived already, and verify again", errGate, seen[0].Source)
	}
	var unlinked int64
	if err := tx.QueryRow(ctx, strings.ReplaceAll(countUnlinked, "{table}", table)).Scan(&unlinked); err != nil {
		return err
	}
	if unlinked != a.unlinked[table] {
		return fmt.Errorf("%w: %d rows of %s are without a run, not %d", errGate, unlinked, table, a.unlinked[table])
	}
	keys, err := texts(ctx, tx, inboundKeys, table)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		return fmt.Errorf("%w: %s refers to %s", errGate, keys[0], table)
	}
	return nil
}
