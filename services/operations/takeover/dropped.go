package takeover

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// What goes with a column, and then the column itself, so that it comes back first:
// without a default, which rows that exist would get, and not yet not null.
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

const recordForeignKeys = `-- takeover.recordForeignKeys
	insert into tenantpilot_takeover.dropped (stage, table_name, name, definition)
	select $1, $2, conname, format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
	from pg_constraint where conrelid = to_regclass($2) and contype = 'f' order by conname
	returning name`

// gone is something that a stage dropped.
type gone struct {
	Place            int64
	Table            string
	Name, Definition string
}

const listDropped = `-- takeover.listDropped
	select place, table_name, name, definition from tenantpilot_takeover.dropped where stage = $1 order by place desc`

const forgetDropped = `-- takeover.forgetDropped
	delete from tenantpilot_takeover.dropped where place = $1`

// bringBack makes again what stage dropped, from the last to the first; what is
// there already is left alone. Between two parts it may be stopped.
func (t *Tool) bringBack(ctx context.Context, r *Report, stage string, after func(context.Context, gone) error) error {
	list, err := collect[gone](ctx, t.legacy, listDropped, stage)
	if err != nil {
		return err
	}
	bar := t.bar("bring back what "+stage+" dropped", int64(len(list)))
	for _, g := range list {
		if err := t.remake(ctx, r, g); err != nil {
			return fmt.Errorf("bring back %s of %s: %w", g.Name, g.Table, err)
		}
		if err := after(ctx, g); err != nil {
			return fmt.Errorf("%s of %s: %w", g.Name, g.Table, err)
		}
		if _, err := t.legacy.Exec(ctx, forgetDropped, g.Place); err != nil {
			return err
		}
		_ = bar.Add(1)
	}
	return nil
}

func (t *Tool) remake(ctx context.Context, r *Report, g gone) error {
	words := strings.ToLower(g.Definition)
	switch {
	case strings.Contains(words, " add constraint "):
		return t.remakeConstraint(ctx, r, g)
	case strings.HasPrefix(words, "create index") || strings.HasPrefix(words, "create unique index"):
		return t.remakeIndex(ctx, g)
	case strings.Contains(words, " add column "):
		return t.remakeColumn(ctx, g)
	}
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, g.Definition)
		return err
	})
}

func (t *Tool) remakeColumn(ctx context.Context, g gone) error {
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		there, err := exists(ctx, tx, hasColumn, g.Table, strings.TrimPrefix(g.Name, "column "))
		if err != nil || there {
			return err
		}
		_, err = tx.Exec(ctx, g.Definition)
		return err
	})
}

const findIndex = `-- takeover.findIndex
	select indisvalid from pg_index where indexrelid = to_regclass($1)`

const dropIndex = `-- takeover.dropIndex
	drop index concurrently `

// remakeIndex lets writers go on, so that one that was stopped has to be begun again.
func (t *Tool) remakeIndex(ctx context.Context, g gone) error {
	return t.retried(ctx, func() error {
		valid, err := collect[struct{ OK bool }](ctx, t.legacy, findIndex, g.Name)
		if err != nil || len(valid) == 1 && valid[0].OK {
			return err
		}
		if len(valid) == 1 {
			if _, err := t.legacy.Exec(ctx, dropIndex+g.Name); err != nil {
				return err
			}
		}
		_, err = t.legacy.Exec(ctx, strings.Replace(g.Definition, " INDEX ", " INDEX CONCURRENTLY ", 1))
		return err
	})
}

const findConstraint = `-- takeover.findConstraint
	select convalidated from pg_constraint where conrelid = to_regclass($1) and conname = $2`

const shortLockTimeout = `-- takeover.shortLockTimeout
	set local lock_timeout = '500ms'`

// remakeConstraint adds a constraint without a look at the rows, and looks at them
// afterwards, while writers go on. Two tables are locked: the wait for the second is
// shorter than any writer waits before it looks for a deadlock.
func (t *Tool) remakeConstraint(ctx context.Context, r *Report, g gone) error {
	wasValid := !strings.HasSuffix(strings.ToUpper(g.Definition), "NOT VALID")
	validated, err := collect[struct{ OK bool }](ctx, t.legacy, findConstraint, g.Table, g.Name)
	if err != nil {
		return err
	}
	if len(validated) == 0 {
		err := t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, shortLockTimeout); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, unvalidated(g.Definition, wasValid))
			return err
		})
		if err != nil {
			return err
		}
	}
	if !wasValid || len(validated) == 1 && validated[0].OK {
		return nil
	}
	return t.validate(ctx, r, g)
}

// unvalidated is the definition of a constraint that may be added unvalidated: a
// foreign key or a check.
func unvalidated(definition string, valid bool) string {
	words := strings.ToUpper(definition)
	if valid && (strings.Contains(words, " FOREIGN KEY ") || strings.Contains(words, " CHECK ")) {
		return definition + " not valid"
	}
	return definition
}

const validateConstraint = `-- takeover.validateConstraint
	alter table %s validate constraint %s`

// validate lets a key stay unvalidated that rows violate by now: what they referred
// to was deleted while there was no key.
func (t *Tool) validate(ctx context.Context, r *Report, g gone) error {
	name := pgx.Identifier{g.Name}.Sanitize()
	err := t.retried(ctx, func() error {
		_, err := t.legacy.Exec(ctx, fmt.Sprintf(validateConstraint, g.Table, name))
		return err
	})
	if violated(err) {
		r.find(Finding{
			Code: "not_validated", Source: g.Table, Count: 1, Samples: []string{g.Name},
			Message: "a constraint that rows violate by now, so that it holds for new rows only: " + err.Error(),
		})
		return nil
	}
	return err
}
