package drop

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/undo"
)

// It holds workspaces as adopt and the cut-over left them.
const holdAgain = `-- takeover.holdAgain
	insert into workspace_hold (workspace_id, starts_allowed)
	select w, $2 or exists (select from operation_runs r where r.workspace_id = w and r.origin = 'live')
	from unnest($1::bigint[]) w on conflict do nothing`

const wasCutOver = `-- takeover.wasCutOver
	select cut_over_at is not null from tenantpilot_takeover.takeover`

// Undo gives the archived tables their names back, and holds workspaces again, so that
// retention leaves their runs alone.
func Undo(ctx context.Context, l *ledger.Ledger, r *report.Report) error {
	for _, table := range slices.Backward(legacy.Droppable) {
		if err := unarchive(ctx, l, table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	if err := undo.BringBack(ctx, l, r, "drop", nil); err != nil {
		return err
	}
	if err := watchAgain(ctx, l); err != nil {
		return err
	}
	workspaces, err := ledger.Workspaces(ctx, l.Legacy)
	if err != nil {
		return err
	}
	over, err := query.True(ctx, l.Legacy, wasCutOver)
	if err != nil {
		return err
	}
	_, err = l.Operations.Exec(ctx, holdAgain, workspaces, over)
	return err
}

const noteUnseen = `-- takeover.noteUnseen
	insert into tenantpilot_takeover.write_seen (source) values ($1)`

// watchAgain watches the tables that drop has stopped watching. Nobody knows what was
// written to them in between, so it notes a write: verify has to look again.
func watchAgain(ctx context.Context, l *ledger.Ledger) error {
	verified, err := l.Began(ctx, "verify")
	if err != nil || !verified {
		return err
	}
	for _, table := range legacy.Staying {
		there, err := ledger.Watched(ctx, l.Legacy, table)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := l.Legacy.Exec(ctx, noteUnseen, table); err != nil {
			return err
		}
		if err := l.Watch(ctx, table); err != nil {
			return fmt.Errorf("watch %s: %w", table, err)
		}
	}
	return nil
}

const restoreName = `-- takeover.restoreName
	alter table {name} rename to {table}`

func unarchive(ctx context.Context, l *ledger.Ledger, table string) error {
	return l.Alter(ctx, l.Legacy, func(tx pgx.Tx) error {
		there, err := query.HasTable(ctx, tx, legacy.Archived(table))
		if err != nil || !there {
			return err
		}
		_, err = tx.Exec(ctx, rename(restoreName, table))
		return err
	})
}
