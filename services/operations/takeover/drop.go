package takeover

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// droppable are the tables that are archived, in this order. Restores are more than
// their runs: restore_runs stays.
var droppable = []string{"entra_group_sync_runs", "backup_schedule_runs", syncRuns}

// staying are the tables that verify looks at and that stay in use.
var staying = append([]string{canonicalRuns, "restore_runs"}, referringTables...)

// archived is the name of a table in the archive. The archive is the table itself,
// under another name: it is complete, with indexes, sequence and all, in an instant
// and whatever its size, and going back gives the very same table.
func archived(table string) string { return "_archive_" + table }

// archiving is one run of the stage: the tables, and how many rows of each go into
// the archive without a run.
type archiving struct {
	*Tool
	options  DropOptions
	unlinked map[string]int64
}

// Drop archives the three tables, each if its gates hold, and ends the takeover:
// retention removes old runs again. Rollback brings the tables back as they were.
func (t *Tool) Drop(ctx context.Context, o DropOptions) (*Report, error) {
	options := map[string]string{"snapshot": o.Snapshot, "archive-unlinked": fmt.Sprint(o.ArchiveUnlinked)}
	a := &archiving{Tool: t, options: o, unlinked: map[string]int64{}}
	return t.run(ctx, "drop", o.Plan, options, func(ctx context.Context, r *Report) error {
		if err := a.gates(ctx, r); err != nil {
			return err
		}
		if err := t.reportRestores(ctx, r); err != nil {
			return err
		}
		if o.Plan || !r.holds() {
			return nil
		}
		return a.do(ctx)
	})
}

func (a *archiving) do(ctx context.Context) error {
	bar := a.bar("archive", int64(len(droppable)))
	for _, table := range droppable {
		if err := a.archive(ctx, table); err != nil {
			return fmt.Errorf("archive %s: %w", table, err)
		}
		_ = bar.Add(1)
	}
	if err := a.deprecate(ctx); err != nil {
		return fmt.Errorf("deprecate columns of restore_runs: %w", err)
	}
	if err := a.release(ctx); err != nil {
		return fmt.Errorf("release workspaces: %w", err)
	}
	for _, table := range staying {
		if err := a.unwatch(ctx, table); err != nil {
			return fmt.Errorf("watch %s no more: %w", table, err)
		}
	}
	return nil
}

// holds says that every check so far does.
func (r *Report) holds() bool {
	for _, c := range r.Checks {
		if !c.Passed {
			return false
		}
	}
	return true
}

const referredTables = `-- takeover.referredTables
	select distinct confrelid::regclass::text from pg_constraint
	where conrelid = to_regclass($1) and contype = 'f' and confrelid <> conrelid order by 1`

const dropForeignKey = `-- takeover.dropForeignKey
	alter table {table} drop constraint {name}`

const renameTable = `-- takeover.renameTable
	alter table {table} rename to {name}`

var errGate = errors.New("a gate that held does not hold any more")

// archive locks the table and all that its foreign keys refer to, looks at its
// gates once more, and renames it.
func (a *archiving) archive(ctx context.Context, table string) error {
	in := func(sql string) string {
		return strings.NewReplacer("{table}", table, "{name}", archived(table)).Replace(sql)
	}
	return a.alter(ctx, a.legacy, func(tx pgx.Tx) error {
		if done, err := a.isArchived(ctx, tx, table); err != nil || done {
			return err
		}
		if _, err := tx.Exec(ctx, in(lockForChange)); err != nil {
			return err
		}
		if err := lockReferred(ctx, tx, table); err != nil {
			return err
		}
		if err := a.gatesAgain(ctx, tx, table); err != nil {
			return err
		}
		if err := dropForeignKeys(ctx, tx, "drop", table); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, in(renameTable))
		return err
	})
}

// lockReferred locks the tables that table refers to, in which its keys are dropped too.
func lockReferred(ctx context.Context, tx pgx.Tx, table string) error {
	names, err := texts(ctx, tx, referredTables, table)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := tx.Exec(ctx, strings.ReplaceAll(lockAtOnce, "{table}", name)); err != nil {
			return err
		}
	}
	return nil
}

// dropForeignKeys drops the keys of a locked table, so that a row that is deleted
// elsewhere takes nothing from the archive, and notes them for rollback.
func dropForeignKeys(ctx context.Context, tx pgx.Tx, stage, table string) error {
	names, err := texts(ctx, tx, recordForeignKeys, stage, table)
	if err != nil {
		return err
	}
	for _, name := range names {
		name = pgx.Identifier{name}.Sanitize()
		if _, err := tx.Exec(ctx, strings.NewReplacer("{table}", table, "{name}", name).Replace(dropForeignKey)); err != nil {
			return err
		}
	}
	return nil
}

const isTable = `-- takeover.isTable
	select to_regclass($1) is not null`

// isArchived says that table is in the archive, and not where it was.
func (t *Tool) isArchived(ctx context.Context, q rower, table string) (bool, error) {
	there, err := exists(ctx, q, isTable, table)
	if err != nil || there {
		return false, err
	}
	return exists(ctx, q, isTable, archived(table))
}

const releaseWorkspaces = `-- takeover.releaseWorkspaces
	delete from workspace_hold`

// release lets retention, and live starts, go on in every workspace.
func (t *Tool) release(ctx context.Context) error {
	_, err := t.target.Exec(ctx, releaseWorkspaces)
	return err
}
