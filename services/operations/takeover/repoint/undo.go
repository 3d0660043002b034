package repoint

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/undo"
)

const dropReferenceTrigger = `-- takeover.dropReferenceTrigger
	drop trigger tenantpilot_repoint_{old} on {table}`

const dropNewColumn = `-- takeover.dropNewColumn
	alter table {table} drop column {new}`

const forgetColumn = `-- takeover.forgetColumn
	delete from tenantpilot_takeover.added_column where table_name = $1 and column_name = $2`

// Undo brings the old columns back, and gives the new ones the values they had.
func Undo(ctx context.Context, l *ledger.Ledger, r *report.Report) error {
	p := &repointing{Ledger: l, r: r}
	for _, ref := range legacy.References {
		if err := p.unfollow(ctx, ref); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		if err := p.restoreNew(ctx, ref); err != nil {
			return fmt.Errorf("%s.%s: %w", ref.Table, ref.New, err)
		}
	}
	if err := undo.BringBack(ctx, l, r, "repoint", p.restoreOld); err != nil {
		return err
	}
	for _, ref := range legacy.References {
		if err := p.removeNew(ctx, ref); err != nil {
			return fmt.Errorf("%s.%s: %w", ref.Table, ref.New, err)
		}
	}
	_, err := p.Legacy.Exec(ctx, forgetReferences)
	return err
}

const forgetReferences = `-- takeover.forgetReferences
	delete from tenantpilot_takeover.saved_reference`

func (p *repointing) unfollow(ctx context.Context, ref legacy.Reference) error {
	return p.Alter(ctx, p.Legacy, func(tx pgx.Tx) error {
		there, err := query.HasTrigger(ctx, tx, ref.Table, writtenTrigger(ref))
		if err != nil || !there {
			return err
		}
		_, err = tx.Exec(ctx, ref.In(dropReferenceTrigger))
		return err
	})
}

// removeNew drops a column that repoint added.
func (p *repointing) removeNew(ctx context.Context, ref legacy.Reference) error {
	return p.Alter(ctx, p.Legacy, func(tx pgx.Tx) error {
		added, err := query.True(ctx, tx, isAdded, ref.Table, ref.New)
		if err != nil || !added {
			return err
		}
		if _, err := tx.Exec(ctx, ref.In(dropNewColumn)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, forgetColumn, ref.Table, ref.New)
		return err
	})
}

// restoreOld fills an old column that has just come back.
func (p *repointing) restoreOld(ctx context.Context, d undo.Dropped) error {
	column, ok := strings.CutPrefix(d.Name, "column ")
	if !ok {
		return nil
	}
	return p.giveBack(ctx, d.Table, column)
}

// restoreNew gives a new column that existed before the takeover its values again.
func (p *repointing) restoreNew(ctx context.Context, ref legacy.Reference) error {
	there, err := legacy.ColumnsOf(ctx, p.Legacy, ref)
	if err != nil || !there.New {
		return err
	}
	return p.giveBack(ctx, ref.Table, ref.New)
}

const countReferenceValues = `-- takeover.countReferenceValues
	select count(*) from tenantpilot_takeover.saved_reference where table_name = '{table}' and column_name = '{column}'`

const nextReferenceValues = `-- takeover.nextReferenceValues
	select id, value from tenantpilot_takeover.saved_reference where table_name = '{table}' and column_name = '{column}' order by id limit $1`

const writeReferences = `-- takeover.writeReferences
	update {table} t set {column} = s.value from unnest($1::bigint[], $2::bigint[]) s (id, value)
	where t.id = s.id and t.{column} is distinct from s.value`

const forgetReferenceValues = `-- takeover.forgetReferenceValues
	delete from tenantpilot_takeover.saved_reference s where table_name = '{table}' and column_name = '{column}' and id = any($1)
		and (id = any($2) or not exists (select from {table} t where t.id = s.id))`

// giveBack gives a column the values that the trigger saved.
func (p *repointing) giveBack(ctx context.Context, table, column string) error {
	return undo.GiveBack(ctx, p.Ledger, undo.Values{
		Table: table, Column: column,
		Count: countReferenceValues, Next: nextReferenceValues, Write: writeReferences, Forget: forgetReferenceValues,
	})
}
