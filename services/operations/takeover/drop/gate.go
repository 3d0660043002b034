package drop

import (
	"context"
	"fmt"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// gates checks everything that has to hold before a table is archived. If all tables are
// archived already, an interrupted run has only to finish, and nothing is checked.
func (a *archiving) gates(ctx context.Context, r *report.Report) error {
	if all, err := a.allArchived(ctx); err != nil || all {
		return err
	}
	if err := a.stageGates(ctx, r); err != nil {
		return err
	}
	r.Check("a snapshot was taken", a.options.Snapshot != "", "--snapshot names it: %q", a.options.Snapshot)
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
	for _, table := range legacy.Droppable {
		if gone, err := legacy.IsArchived(ctx, a.Legacy, table); err != nil || !gone {
			return false, err
		}
	}
	return true, nil
}

// activeGate keeps runs from staying active for ever: nobody ends them once their rows are
// in the archive.
func (a *archiving) activeGate(ctx context.Context, r *report.Report) error {
	active, err := a.CountActiveRuns(ctx)
	if err != nil {
		return err
	}
	r.Check("no run that was taken over is active", active == 0, "%d are: backfill --cut-over ends them", active)
	return nil
}

func (a *archiving) stageGates(ctx context.Context, r *report.Report) error {
	for _, stage := range []string{"verify", "repoint"} {
		passed, err := a.Passed(ctx, stage)
		if err != nil {
			return err
		}
		r.Check(stage+" has passed", passed, "%s", map[bool]string{true: "yes", false: "run it to its end first"}[passed])
	}
	stale, err := query.True(ctx, a.Legacy, changedSinceVerify)
	if err != nil {
		return err
	}
	r.Check("verify came after adopt, backfill and repoint", !stale, "%s", map[bool]string{true: "verify again", false: "yes"}[stale])
	for _, ref := range legacy.References {
		there, err := query.HasColumn(ctx, a.Legacy, ref.Table, ref.Old)
		if err != nil {
			return err
		}
		r.Check(ref.String()+" is gone", !there, "%s", map[bool]string{true: "it is there: run repoint", false: "repoint has dropped it"}[there])
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

func (a *archiving) writeGate(ctx context.Context, r *report.Report) error {
	seen, err := query.Collect[writes](ctx, a.Legacy, sumWrites)
	if err != nil {
		return err
	}
	list := make([]string, len(seen))
	for i, w := range seen {
		list[i] = fmt.Sprintf("%d in %s, last at %s", w.Count, w.Source, w.Last)
	}
	r.Check("nothing was written since verify looked", len(seen) == 0, "writes: %s", report.List(list))
	blind, err := query.Column[string](ctx, a.Legacy, missingTriggers, legacy.Watched)
	r.Check("every write since then would have been seen", len(blind) == 0, "tables without the trigger: %s", report.List(blind))
	return err
}

const countUnlinked = `-- takeover.countUnlinked
	select count(*) from {table} where operation_run_id is null`

// unlinkedGate also counts tables that are archived already, so that an interrupted run can
// be repeated with the same number.
func (a *archiving) unlinkedGate(ctx context.Context, r *report.Report) error {
	counts := r.Table("Rows to archive", "table", "rows without a run")
	var all int64
	for _, table := range legacy.Droppable {
		name := table
		if done, err := legacy.IsArchived(ctx, a.Legacy, table); err != nil {
			return err
		} else if done {
			name = legacy.Archived(table)
		}
		var n int64
		if err := a.Legacy.QueryRow(ctx, strings.ReplaceAll(countUnlinked, "{table}", name)).Scan(&n); err != nil {
			return err
		}
		counts.Row(table, n)
		a.unlinked[table], all = n, all+n
	}
	history, err := a.History(ctx)
	if err != nil {
		return err
	}
	if history == "link" {
		r.Check("--archive-unlinked is the number of rows without a run", all == a.options.ArchiveUnlinked,
			"%d are without a run, --archive-unlinked is %d", all, a.options.ArchiveUnlinked)
		return nil
	}
	r.Check("every row has a run", all == 0 && a.options.ArchiveUnlinked == 0,
		"%d are without a run; --archive-unlinked (%d) is for history that is only linked", all, a.options.ArchiveUnlinked)
	return nil
}

const inboundKeys = `-- takeover.inboundKeys
	select conrelid::regclass::text || '.' || conname from pg_constraint
	where contype = 'f' and confrelid = to_regclass($1) and conrelid <> confrelid order by 1`

func (a *archiving) inboundGate(ctx context.Context, r *report.Report) error {
	for _, table := range legacy.Droppable {
		keys, err := query.Column[string](ctx, a.Legacy, inboundKeys, table)
		if err != nil {
			return err
		}
		r.Check("no foreign key refers to "+table, len(keys) == 0, "%s", report.List(keys))
	}
	return nil
}

// gatesAgain checks what may have changed before the table was locked.
func (a *archiving) gatesAgain(ctx context.Context, tx query.DB, table string) error {
	seen, err := query.Collect[writes](ctx, tx, sumWrites)
	if err != nil {
		return err
	}
	if len(seen) > 0 {
		return fmt.Errorf("%w: %s was written to since verify looked: roll back to drop if a table is archived already, and verify again", ErrGate, seen[0].Source)
	}
	var unlinked int64
	if err := tx.QueryRow(ctx, strings.ReplaceAll(countUnlinked, "{table}", table)).Scan(&unlinked); err != nil {
		return err
	}
	if unlinked != a.unlinked[table] {
		return fmt.Errorf("%w: %d rows of %s are without a run, not %d", ErrGate, unlinked, table, a.unlinked[table])
	}
	keys, err := query.Column[string](ctx, tx, inboundKeys, table)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		return fmt.Errorf("%w: %s refers to %s", ErrGate, keys[0], table)
	}
	return nil
}
