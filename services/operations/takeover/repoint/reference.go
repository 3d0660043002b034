package repoint

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

const addColumn = `-- takeover.addColumn
	alter table {table} add column {new} bigint`

const rememberColumn = `-- takeover.rememberColumn
	insert into tenantpilot_takeover.added_column (table_name, column_name) values ($1, $2) on conflict do nothing`

const isAdded = `-- takeover.isAdded
	select exists (select from tenantpilot_takeover.added_column where table_name = $1 and column_name = $2)`

//go:embed reference.sql
var referenceFunctions string

// writtenTrigger returns the name of the trigger that keeps a new column right.
func writtenTrigger(ref legacy.Reference) string { return "tenantpilot_repoint_" + ref.Old }

// follow adds the new column if it does not exist, and the trigger that keeps it right
// from now on.
func (p *repointing) follow(ctx context.Context, ref legacy.Reference) error {
	return p.Alter(ctx, p.Legacy, func(tx pgx.Tx) error {
		there, err := legacy.ColumnsOf(ctx, tx, ref)
		if err != nil || !there.Old {
			return err
		}
		if there.New {
			err = p.unkey(ctx, tx, ref)
		} else {
			err = p.addNew(ctx, tx, ref)
		}
		if err != nil {
			return err
		}
		added, err := query.True(ctx, tx, isAdded, ref.Table, ref.New)
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, strings.ReplaceAll(ref.In(referenceFunctions), "{added}", strconv.FormatBool(added))); err != nil {
			return err
		}
		triggered, err := query.HasTrigger(ctx, tx, ref.Table, writtenTrigger(ref))
		if err != nil || triggered {
			return err
		}
		_, err = tx.Exec(ctx, ref.In(createReferenceTrigger))
		return err
	})
}

const createReferenceTrigger = `-- takeover.createReferenceTrigger
	create trigger tenantpilot_repoint_{old} before insert or update of {old}, {new} on {table}
	for each row execute function tenantpilot_takeover.repoint_{table}_{old}()`

func (p *repointing) addNew(ctx context.Context, tx pgx.Tx, ref legacy.Reference) error {
	if _, err := tx.Exec(ctx, ref.In(addColumn)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, rememberColumn, ref.Table, ref.New)
	return err
}

const recordNewKeys = `-- takeover.recordNewKeys
	insert into tenantpilot_takeover.dropped (stage, table_name, name, definition)
	select 'repoint', $1, conname, format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid))
	from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
	where k.conrelid = to_regclass($1) and k.contype = 'f' and a.attname = $2 order by conname
	returning name`

// unkey drops the foreign keys of a new column that existed before the takeover: from now
// on it holds ids of runs of the operations database.
func (p *repointing) unkey(ctx context.Context, tx pgx.Tx, ref legacy.Reference) error {
	names, err := query.Column[string](ctx, tx, recordNewKeys, ref.Table, ref.New)
	if err != nil || len(names) == 0 {
		return err
	}
	if err := query.LockTable(ctx, tx, ref.Table); err != nil {
		return err
	}
	if err := query.LockMore(ctx, tx, legacy.CanonicalRuns); err != nil {
		return err
	}
	return query.DropConstraints(ctx, tx, ref.Table, names)
}

// due is the condition of a row t that repoint still has to change: the old value is not
// saved, or the new value is not the run that the old one means.
const due = `(t.{old} is not null and not exists (select from tenantpilot_takeover.saved_reference s
			where s.table_name = '{table}' and s.column_name = '{old}' and s.id = t.id)
		or t.{new} is distinct from coalesce(tenantpilot_takeover.run_of_sync(t.{old}), tenantpilot_takeover.existing_run(t.{new})))`

// The update only fires the trigger, which does the work. It skips rows that a writer has
// locked: if it waited for one while it held others, the writer might wait for one of those.
const fillReference = `-- takeover.fillReference
	with due as (
		select t.id from {table} t where t.id > $1 and t.id <= $2 and ` + due + ` order by t.id for update skip locked
	)
	update {table} t set {old} = t.{old} from due where t.id = due.id`

const countDue = `-- takeover.countDue
	select count(*) from {table} t where t.id > $1 and t.id <= $2 and ` + due

const nextReferences = `-- takeover.nextReferences
	select max(id) from (select id from {table} where id > $1 order by id limit $2) n`

// batch is how many rows one transaction looks at, and may lock.
const batch = 5_000

// fill brings the new column of every row up to date.
func (p *repointing) fill(ctx context.Context, ref legacy.Reference) error {
	total, err := query.EstimateRows(ctx, p.Legacy, ref.Table)
	if err != nil {
		return err
	}
	bar := p.Bar(ref.String(), total)
	for after := int64(-1); ; {
		var until *int64
		if err := p.Legacy.QueryRow(ctx, ref.In(nextReferences), after, batch).Scan(&until); err != nil {
			return err
		}
		if until == nil {
			return bar.Finish()
		}
		if err := p.fillRange(ctx, ref, after, *until); err != nil {
			return fmt.Errorf("rows %d to %d: %w", after+1, *until, err)
		}
		after = *until
		_ = bar.Add(batch)
	}
}

// fillRange repeats until no row of the range is due: some may be locked at first.
func (p *repointing) fillRange(ctx context.Context, ref legacy.Reference, after, until int64) error {
	for {
		err := p.Alter(ctx, p.Legacy, func(tx pgx.Tx) error {
			if err := ledger.BeUnseen(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, ref.In(fillReference), after, until)
			return err
		})
		if err != nil {
			return err
		}
		var left int64
		if err := p.Legacy.QueryRow(ctx, ref.In(countDue), after, until).Scan(&left); err != nil || left == 0 {
			return err
		}
		if err := ledger.Pause(ctx); err != nil {
			return err
		}
	}
}
