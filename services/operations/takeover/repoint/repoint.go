// Package repoint lets findings and inventory items refer to runs instead of rows of
// inventory_sync_runs. It relies on verify, and drops nothing but the old columns.
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
)

// It notes what belongs to a column, and then the column itself: parts come back in the
// reverse order. The column comes back without its default, which existing rows would get,
// and without not null.
const recordColumn = `-- takeover.recordColumn
	with c as (
		select a.*, a.attrelid::regclass::text as place, d.oid as default_id, pg_get_expr(d.adbin, d.adrelid) as value
		from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
		where a.attrelid = to_regclass($2) and a.attname = $3
	), part (rank, name, definition) as (
		select 1, k.conname, format('alter table %s add constraint %I %s', c.place, k.conname, pg_get_constraintdef(k.oid))
		from c join pg_constraint k on k.conrelid = c.attrelid and c.attnum = any(k.conkey)
		union all
		select 2, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
		from c join pg_index i on i.indrelid = c.attrelid
		where exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
				and d.refclassid = 'pg_class'::regclass and d.refobjid = c.attrelid and d.refobjsubid = c.attnum)
			and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
		union all
		select 3, 'comment on ' || c.attname, format('comment on column %s.%I is %L', c.place, c.attname, col_description(c.attrelid, c.attnum))
		from c where col_description(c.attrelid, c.attnum) is not null
		union all
		select 4, 'not null of ' || c.attname, format('alter table %s alter column %I set not null', c.place, c.attname) from c where c.attnotnull
		union all
		select 5, 'default of ' || c.attname, format('alter table %s alter column %I set default %s', c.place, c.attname, c.value) from c where c.value is not null
		union all
		select 6, 'column ' || c.attname, format('alter table %s add column %I %s', c.place, c.attname, format_type(c.atttypid, c.atttypmod)) from c
	)
	insert into tenantpilot_takeover.dropped (stage, table_name, name, definition)
	select $1, $2, name, definition from part order by rank, name`

// Options are the flags of repoint.
type Options struct {
	Plan bool // change nothing, and show what would change
}

// repointing is one call of repoint.
type repointing struct {
	*ledger.Ledger
	r *report.Report
}

// Run lets findings and inventory items refer to runs instead of rows of
// inventory_sync_runs. A reference to a row without a run, or whose run does not exist,
// becomes null. Then it drops the old columns; [Undo] brings them back.
func Run(ctx context.Context, l *ledger.Ledger, o Options) (*report.Report, error) {
	if err := legacy.NotArchived(ctx, l.Legacy, legacy.SyncRuns); err != nil {
		return nil, err
	}
	if err := l.Requires(ctx, "verify"); err != nil {
		return nil, err
	}
	return l.Stage(ctx, "repoint", o.Plan, nil, func(ctx context.Context, r *report.Report) error {
		p := &repointing{Ledger: l, r: r}
		err := pgx.BeginFunc(ctx, l.Legacy, func(tx pgx.Tx) error {
			_, err := ledger.NoteMissing(ctx, tx, l.Operations)
			return err
		})
		if err != nil {
			return err
		}
		if err := p.countReferences(ctx, "References before"); err != nil {
			return err
		}
		if o.Plan {
			return p.sampleReferences(ctx)
		}
		return p.do(ctx)
	})
}

func (p *repointing) do(ctx context.Context) error {
	for _, ref := range legacy.References {
		if err := p.moveReference(ctx, ref); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
	}
	for _, table := range legacy.ReferringTables {
		if err := p.dropOldColumns(ctx, table); err != nil {
			return fmt.Errorf("drop the old columns of %s: %w", table, err)
		}
	}
	return p.countReferences(ctx, "References after")
}

// moveReference fills a new column, and checks that every row of it is right.
func (p *repointing) moveReference(ctx context.Context, ref legacy.Reference) error {
	there, err := legacy.ColumnsOf(ctx, p.Legacy, ref)
	if err != nil || !there.Old {
		return err
	}
	if err := p.follow(ctx, ref); err != nil {
		return err
	}
	if err := p.fill(ctx, ref); err != nil {
		return err
	}
	var total, expected, filled int64
	if err := p.Legacy.QueryRow(ctx, ref.In(countFilled)).Scan(&total, &expected, &filled); err != nil {
		return err
	}
	p.r.Check(ref.Table+"."+ref.New+" is filled", expected == filled, "%d of %d rows have a run, %d should", filled, total, expected)
	return nil
}

const countFilled = `-- takeover.countFilled
	select count(*), count(coalesce(tenantpilot_takeover.run_of_sync(t.{old}), tenantpilot_takeover.existing_run(t.{new}))), count(t.{new}) from {table} t`

// A column that does not exist counts as null in every row.
const countReferences = `-- takeover.countReferences
	select count(*), count({old}), count({new}), count(s.operation_run_id), count(m.run_id), count({old}) - count(s.operation_run_id)
	from {table} t
	left join inventory_sync_runs s on s.id = {old}
	left join tenantpilot_takeover.run_block b on b.source = 'operation_runs'
	left join tenantpilot_takeover.missing_run m
		on m.run_id = case when s.operation_run_id between 1 and b.last_legacy_id then b.base + s.operation_run_id else s.operation_run_id end`

func (p *repointing) countReferences(ctx context.Context, title string) error {
	counts := p.r.Table(title, "reference", "rows", "refer to a row", "refer to a run", "row has a run", "which is missing", "row has none")
	for _, ref := range legacy.References {
		there, err := legacy.ColumnsOf(ctx, p.Legacy, ref)
		if err != nil {
			return err
		}
		name := strings.NewReplacer("{table}", ref.Table, "{old}", columnOrNull(there.Old, ref.Old), "{new}", columnOrNull(there.New, ref.New))
		var n [6]int64
		if err := p.Legacy.QueryRow(ctx, name.Replace(countReferences)).Scan(&n[0], &n[1], &n[2], &n[3], &n[4], &n[5]); err != nil {
			return fmt.Errorf("count %s: %w", ref, err)
		}
		counts.Row(ref.String(), n[0], n[1], n[2], n[3], n[4], n[5])
	}
	return nil
}

// Some references that become a run, and some that become null.
const sampleReferences = `-- takeover.sampleReferences
	with r as (
		select t.id, t.{old} as was, coalesce(tenantpilot_takeover.run_of_sync(t.{old}), tenantpilot_takeover.existing_run({own})) as becomes
		from {table} t where t.{old} is not null
	)
	(select id, was, becomes from r where becomes is not null order by id limit $1)
	union all
	(select id, was, becomes from r where becomes is null order by id limit $1)`

type referenceSample struct {
	ID, Was int64
	Becomes *int64
}

// sampleReferences shows what some references would become. It makes the functions that
// compute this, and rolls them back.
func (p *repointing) sampleReferences(ctx context.Context) error {
	shown := p.r.Table("Samples", "reference", "row", "refers to row", "becomes run")
	return query.RolledBack(ctx, p.Legacy, func(tx pgx.Tx) error {
		for _, ref := range legacy.References {
			found, err := p.sampleReference(ctx, tx, ref)
			if err != nil {
				return fmt.Errorf("samples of %s: %w", ref, err)
			}
			for _, s := range found {
				becomes := "none"
				if s.Becomes != nil {
					becomes = fmt.Sprint(*s.Becomes)
				}
				shown.Row(ref.String(), s.ID, s.Was, becomes)
			}
		}
		return nil
	})
}

func (p *repointing) sampleReference(ctx context.Context, tx pgx.Tx, ref legacy.Reference) ([]referenceSample, error) {
	there, err := legacy.ColumnsOf(ctx, tx, ref)
	if err != nil || !there.Old {
		return nil, err
	}
	if _, err := tx.Exec(ctx, strings.ReplaceAll(ref.In(referenceFunctions), "{added}", "true")); err != nil {
		return nil, err
	}
	own := columnOrNull(there.New, ref.New)
	return query.Collect[referenceSample](ctx, tx, strings.ReplaceAll(ref.In(sampleReferences), "{own}", own), report.Samples)
}

func columnOrNull(there bool, column string) string {
	if there {
		return "t." + column
	}
	return "null::bigint"
}

const dropOldColumn = `-- takeover.dropOldColumn
	drop trigger if exists tenantpilot_repoint_{old} on {table};
	alter table {table} drop column {old}`

// dropOldColumns drops the old columns of a table, and notes how they were defined. The
// triggers have saved their values already.
func (p *repointing) dropOldColumns(ctx context.Context, table string) error {
	return p.Alter(ctx, p.Legacy, func(tx pgx.Tx) error {
		if err := query.LockTable(ctx, tx, table); err != nil {
			return err
		}
		if err := query.LockMore(ctx, tx, legacy.SyncRuns); err != nil { // dropping a foreign key changes both tables
			return err
		}
		for _, ref := range legacy.References {
			if ref.Table != table {
				continue
			}
			if err := p.dropReference(ctx, tx, ref); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *repointing) dropReference(ctx context.Context, tx pgx.Tx, ref legacy.Reference) error {
	there, err := legacy.ColumnsOf(ctx, tx, ref)
	if err != nil || !there.Old {
		return err
	}
	if _, err := tx.Exec(ctx, recordColumn, "repoint", ref.Table, ref.Old); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, ref.In(dropOldColumn))
	return err
}
