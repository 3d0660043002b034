package takeover

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// syncRuns is the table that findings and inventory items refer to.
const syncRuns = "inventory_sync_runs"

// reference is a column that names a row of inventory_sync_runs, and the one that
// names its run instead.
type reference struct{ table, old, new string }

var references = []reference{
	{table: "findings", old: "baseline_run_id", new: "baseline_operation_run_id"},
	{table: "findings", old: "current_run_id", new: "current_operation_run_id"},
	{table: "inventory_items", old: "last_seen_run_id", new: "last_seen_operation_run_id"},
}

// referringTables are the tables with references.
var referringTables = []string{"findings", "inventory_items"}

func (r reference) String() string { return r.table + "." + r.old }

// in puts the names of r into a statement: {table}, {old}, {new}.
func (r reference) in(sql string) string {
	return strings.NewReplacer("{table}", r.table, "{old}", r.old, "{new}", r.new).Replace(sql)
}

const hasColumn = `-- takeover.hasColumn
	select exists (select from pg_attribute where attrelid = to_regclass($1) and attname = $2 and attnum > 0 and not attisdropped)`

func exists(ctx context.Context, q rower, sql string, args ...any) (bool, error) {
	var found bool
	err := q.QueryRow(ctx, sql, args...).Scan(&found)
	return found, err
}

type rower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// columns is which of a reference's columns there are.
type columns struct{ old, new bool }

func (t *Tool) columnsOf(ctx context.Context, q rower, ref reference) (c columns, err error) {
	if c.old, err = exists(ctx, q, hasColumn, ref.table, ref.old); err != nil {
		return c, err
	}
	c.new, err = exists(ctx, q, hasColumn, ref.table, ref.new)
	return c, err
}

const addColumn = `-- takeover.addColumn
	alter table {table} add column {new} bigint`

const rememberColumn = `-- takeover.rememberColumn
	insert into tenantpilot_takeover.added_column (table_name, column_name) values ($1, $2) on conflict do nothing`

const isAdded = `-- takeover.isAdded
	select exists (select from tenantpilot_takeover.added_column where table_name = $1 and column_name = $2)`

//go:embed reference.sql
var referenceFunctions string

// follow adds the new column if it is not there, and the trigger that keeps it
// right from now on.
func (t *Tool) follow(ctx context.Context, ref reference) error {
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		there, err := t.columnsOf(ctx, tx, ref)
		if err != nil || !there.old {
			return err
		}
		if there.new {
			err = t.unkey(ctx, tx, ref)
		} else {
			err = t.addNew(ctx, tx, ref)
		}
		if err != nil {
			return err
		}
		added, err := exists(ctx, tx, isAdded, ref.table, ref.new)
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, strings.ReplaceAll(ref.in(referenceFunctions), "{added}", strconv.FormatBool(added))); err != nil {
			return err
		}
		triggered, err := exists(ctx, tx, hasTrigger, ref.table, "tenantpilot_repoint_"+ref.old)
		if err != nil || triggered {
			return err
		}
		_, err = tx.Exec(ctx, ref.in(createReferenceTrigger))
		return err
	})
}

const createReferenceTrigger = `-- takeover.createReferenceTrigger
	create trigger tenantpilot_repoint_{old} before insert or update of {old}, {new} on {table}
	for each row execute function tenantpilot_takeover.repoint_{table}_{old}()`

func (t *Tool) addNew(ctx context.Context, tx pgx.Tx, ref reference) error {
	if _, err := tx.Exec(ctx, ref.in(addColumn)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, rememberColumn, ref.table, ref.new)
	return err
}

const recordNewKeys = `-- takeover.recordNewKeys
	insert into tenantpilot_takeover.dropped (stage, table_name, name, definition)
	select 'repoint', $1, conname, format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid))
	from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
	where k.conrelid = to_regclass($1) and k.contype = 'f' and a.attname = $2 order by conname
	returning name`

// unkey drops the foreign keys of a new column that was there already: it will name
// runs of the operations database.
func (t *Tool) unkey(ctx context.Context, tx pgx.Tx, ref reference) error {
	names, err := texts(ctx, tx, recordNewKeys, ref.table, ref.new)
	if err != nil || len(names) == 0 {
		return err
	}
	for _, sql := range []string{
		strings.ReplaceAll(lockForChange, "{table}", ref.table),
		strings.ReplaceAll(lockAtOnce, "{table}", canonicalRuns),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, name := range names {
		name = pgx.Identifier{name}.Sanitize()
		if _, err := tx.Exec(ctx, strings.NewReplacer("{table}", ref.table, "{name}", name).Replace(dropForeignKey)); err != nil {
			return err
		}
	}
	return nil
}

// due is where a row of table t is not as repoint leaves it: where the old value is
// not saved, or the new one is not the run that the old one means.
const due = `(t.{old} is not null and not exists (select from tenantpilot_takeover.saved_reference s
			where s.table_name = '{table}' and s.column_name = '{old}' and s.id = t.id)
		or t.{new} is distinct from coalesce(tenantpilot_takeover.run_of_sync(t.{old}), tenantpilot_takeover.existing_run(t.{new})))`

// The trigger does what is to be done. Rows that a writer has locked are left out:
// waiting for them with others locked, the two could wait for each other.
const fillReference = `-- takeover.fillReference
	with due as (
		select t.id from {table} t where t.id > $1 and t.id <= $2 and ` + due + ` order by t.id for update skip locked
	)
	update {table} t set {old} = t.{old} from due where t.id = due.id`

const countDue = `-- takeover.countDue
	select count(*) from {table} t where t.id > $1 and t.id <= $2 and ` + due

const nextReferences = `-- takeover.nextReferences
	select max(id) from (select id from {table} where id > $1 order by id limit $2) n`

const estimateRows = `-- takeover.estimateRows
	select greatest(reltuples, 0)::bigint from pg_class where oid = to_regclass($1)`

// referenceBatch is how many rows are looked at in one transaction, and may be
// locked for so long.
const referenceBatch = 5_000

// fill brings every row's new column up to date.
func (t *Tool) fill(ctx context.Context, ref reference) error {
	var total int64
	if err := t.legacy.QueryRow(ctx, estimateRows, ref.table).Scan(&total); err != nil {
		return err
	}
	bar := t.bar(ref.String(), total)
	for after := int64(-1); ; {
		var until *int64
		if err := t.legacy.QueryRow(ctx, ref.in(nextReferences), after, referenceBatch).Scan(&until); err != nil {
			return err
		}
		if until == nil {
			return bar.Finish()
		}
		if err := t.fillRange(ctx, ref, after, *until); err != nil {
			return fmt.Errorf("rows %d to %d: %w", after+1, *until, err)
		}
		after = *until
		_ = bar.Add(referenceBatch)
	}
}

// fillRange is over when no row of the range is due; some may have been locked.
func (t *Tool) fillRange(ctx context.Context, ref reference, after, until int64) error {
	for {
		err := t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
			if err := unseen(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, ref.in(fillReference), after, until)
			return err
		})
		if err != nil {
			return err
		}
		var left int64
		if err := t.legacy.QueryRow(ctx, ref.in(countDue), after, until).Scan(&left); err != nil || left == 0 {
			return err
		}
		if err := pause.For(ctx, retryPause); err != nil {
			return err
		}
	}
}

const beUnseen = `-- takeover.beUnseen
	select set_config('tenantpilot_takeover.unseen', 'on', true)`

// unseen lets the triggers of verify ignore what tx writes: repoint changes nothing
// that verify has looked at.
func unseen(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, beUnseen)
	return err
}
