// Package drop archives the legacy run tables, behind gates: it changes nothing unless
// verify has found everything right, and nothing was written since.
package drop

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// Options are the flags of drop.
type Options struct {
	Plan     bool
	Snapshot string // the name of the database snapshot that was taken
	// ArchiveUnlinked is how many rows without a run may go into the archive. It must be
	// exactly the number that is found, and 0 if history is imported.
	ArchiveUnlinked int64
}

// archiving is one call of drop.
type archiving struct {
	*ledger.Ledger
	options  Options
	unlinked map[string]int64 // rows without a run that the gates have counted, by table
}

// Run archives the three tables, each if its gates hold, and ends the takeover: workspaces
// are not held any more, so that retention removes old runs again. [Undo] brings the tables
// back unchanged.
func Run(ctx context.Context, l *ledger.Ledger, o Options) (*report.Report, error) {
	options := map[string]string{"snapshot": o.Snapshot, "archive-unlinked": fmt.Sprint(o.ArchiveUnlinked)}
	a := &archiving{Ledger: l, options: o, unlinked: map[string]int64{}}
	return l.Stage(ctx, "drop", o.Plan, options, func(ctx context.Context, r *report.Report) error {
		if err := a.gates(ctx, r); err != nil {
			return err
		}
		if err := a.reportRestores(ctx, r); err != nil {
			return err
		}
		if o.Plan || !r.Holds() {
			return nil
		}
		return a.do(ctx)
	})
}

func (a *archiving) do(ctx context.Context) error {
	bar := a.Bar("archive", int64(len(legacy.Droppable)))
	for _, table := range legacy.Droppable {
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
	for _, table := range legacy.Staying {
		if err := a.Unwatch(ctx, table); err != nil {
			return fmt.Errorf("watch %s no more: %w", table, err)
		}
	}
	return nil
}

const renameTable = `-- takeover.renameTable
	alter table {table} rename to {name}`

// ErrGate means that a gate held before a table was locked, and does not hold any more.
var ErrGate = errors.New("a gate that held before does not hold any more")

// rename puts the two names of a table into a statement: {table}, and {name} in the archive.
func rename(sql, table string) string {
	return strings.NewReplacer("{table}", table, "{name}", legacy.Archived(table)).Replace(sql)
}

// archive locks a table and all tables that its foreign keys refer to, checks its gates
// once more, and renames it.
func (a *archiving) archive(ctx context.Context, table string) error {
	return a.Alter(ctx, a.Legacy, func(tx pgx.Tx) error {
		if done, err := legacy.IsArchived(ctx, tx, table); err != nil || done {
			return err
		}
		if err := lock(ctx, tx, table); err != nil {
			return err
		}
		if err := a.gatesAgain(ctx, tx, table); err != nil {
			return err
		}
		if err := dropForeignKeys(ctx, tx, table); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, rename(renameTable, table))
		return err
	})
}

const referredTables = `-- takeover.referredTables
	select distinct confrelid::regclass::text from pg_constraint
	where conrelid = to_regclass($1) and contype = 'f' and confrelid <> conrelid order by 1`

// lock locks a table and the tables that its foreign keys refer to: dropping a key changes both.
func lock(ctx context.Context, tx pgx.Tx, table string) error {
	if err := query.LockTable(ctx, tx, table); err != nil {
		return err
	}
	referred, err := query.Column[string](ctx, tx, referredTables, table)
	if err != nil {
		return err
	}
	return query.LockMore(ctx, tx, referred...)
}

const recordForeignKeys = `-- takeover.recordForeignKeys
	insert into tenantpilot_takeover.dropped (stage, table_name, name, definition)
	select 'drop', $1, conname, format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
	from pg_constraint where conrelid = to_regclass($1) and contype = 'f' order by conname
	returning name`

// dropForeignKeys drops the foreign keys of a locked table, and notes them for [Undo].
// With them, deleting a row elsewhere would delete rows of the archive.
func dropForeignKeys(ctx context.Context, tx pgx.Tx, table string) error {
	keys, err := query.Column[string](ctx, tx, recordForeignKeys, table)
	if err != nil {
		return err
	}
	return query.DropConstraints(ctx, tx, table, keys)
}

const releaseWorkspaces = `-- takeover.releaseWorkspaces
	delete from workspace_hold`

// release lets retention and live starts go on in every workspace.
func (a *archiving) release(ctx context.Context) error {
	_, err := a.Operations.Exec(ctx, releaseWorkspaces)
	return err
}
