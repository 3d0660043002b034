// Package undo brings back what stages dropped and overwrote, as the ledger noted it.
// Each stage knows what it has to undo; package undo knows how.
package undo

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// Dropped is a column, index, constraint or comment that a stage dropped or replaced.
type Dropped struct {
	Place            int64
	Table            string
	Name, Definition string
}

const listDropped = `-- takeover.listDropped
	select place, table_name, name, definition from tenantpilot_takeover.dropped where stage = $1 order by place desc`

const forgetDropped = `-- takeover.forgetDropped
	delete from tenantpilot_takeover.dropped where place = $1`

// bringing is one call of [BringBack].
type bringing struct {
	*ledger.Ledger
	r *report.Report
}

// BringBack makes again what a stage dropped, beginning with the last, and calls after for
// each part unless it is nil. It leaves alone what exists already, so that it may be
// interrupted and repeated.
func BringBack(ctx context.Context, l *ledger.Ledger, r *report.Report, stage string, after func(context.Context, Dropped) error) error {
	list, err := query.Collect[Dropped](ctx, l.Legacy, listDropped, stage)
	if err != nil {
		return err
	}
	b := &bringing{Ledger: l, r: r}
	bar := b.Bar("bring back what "+stage+" dropped", int64(len(list)))
	for _, d := range list {
		if err := b.remake(ctx, d); err != nil {
			return fmt.Errorf("bring back %s of %s: %w", d.Name, d.Table, err)
		}
		if after != nil {
			if err := after(ctx, d); err != nil {
				return fmt.Errorf("%s of %s: %w", d.Name, d.Table, err)
			}
		}
		if _, err := b.Legacy.Exec(ctx, forgetDropped, d.Place); err != nil {
			return err
		}
		_ = bar.Add(1)
	}
	return nil
}

func (b *bringing) remake(ctx context.Context, d Dropped) error {
	words := strings.ToLower(d.Definition)
	switch {
	case strings.Contains(words, " add constraint "):
		return b.remakeConstraint(ctx, d)
	case strings.HasPrefix(words, "create index") || strings.HasPrefix(words, "create unique index"):
		return b.remakeIndex(ctx, d)
	case strings.Contains(words, " add column "):
		return b.remakeColumn(ctx, d)
	}
	return b.Alter(ctx, b.Legacy, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, d.Definition)
		return err
	})
}

func (b *bringing) remakeColumn(ctx context.Context, d Dropped) error {
	return b.Alter(ctx, b.Legacy, func(tx pgx.Tx) error {
		there, err := query.HasColumn(ctx, tx, d.Table, strings.TrimPrefix(d.Name, "column "))
		if err != nil || there {
			return err
		}
		_, err = tx.Exec(ctx, d.Definition)
		return err
	})
}

const findIndex = `-- takeover.findIndex
	select indisvalid from pg_index where indexrelid = to_regclass($1)`

const dropIndex = `-- takeover.dropIndex
	drop index concurrently `

// remakeIndex builds an index while writers go on. An interrupted build leaves an invalid
// index, which it drops first.
func (b *bringing) remakeIndex(ctx context.Context, d Dropped) error {
	return b.Retried(ctx, func() error {
		valid, err := query.Collect[struct{ OK bool }](ctx, b.Legacy, findIndex, d.Name)
		if err != nil || len(valid) == 1 && valid[0].OK {
			return err
		}
		if len(valid) == 1 {
			if _, err := b.Legacy.Exec(ctx, dropIndex+d.Name); err != nil {
				return err
			}
		}
		_, err = b.Legacy.Exec(ctx, strings.Replace(d.Definition, " INDEX ", " INDEX CONCURRENTLY ", 1))
		return err
	})
}

const findConstraint = `-- takeover.findConstraint
	select convalidated from pg_constraint where conrelid = to_regclass($1) and conname = $2`

const shortLockTimeout = `-- takeover.shortLockTimeout
	set local lock_timeout = '500ms'`

// remakeConstraint adds a constraint without checking the rows, and checks them afterwards,
// while writers go on. A foreign key locks two tables: we wait for the second for less
// time than a writer waits before it looks for a deadlock.
func (b *bringing) remakeConstraint(ctx context.Context, d Dropped) error {
	wasValid := !strings.HasSuffix(strings.ToUpper(d.Definition), "NOT VALID")
	validated, err := query.Collect[struct{ OK bool }](ctx, b.Legacy, findConstraint, d.Table, d.Name)
	if err != nil {
		return err
	}
	if len(validated) == 0 {
		err := b.Alter(ctx, b.Legacy, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, shortLockTimeout); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, unvalidated(d.Definition, wasValid))
			return err
		})
		if err != nil {
			return err
		}
	}
	if !wasValid || len(validated) == 1 && validated[0].OK {
		return nil
	}
	return b.validate(ctx, d)
}

// unvalidated returns the definition that adds a constraint without checking the rows;
// only foreign keys and checks can do that.
func unvalidated(definition string, valid bool) string {
	words := strings.ToUpper(definition)
	if valid && (strings.Contains(words, " FOREIGN KEY ") || strings.Contains(words, " CHECK ")) {
		return definition + " not valid"
	}
	return definition
}

const validateConstraint = `-- takeover.validateConstraint
	alter table %s validate constraint %s`

// validate checks the rows. A constraint that they violate stays, for new rows only, and
// is reported: what they referred to was deleted while the constraint did not exist.
func (b *bringing) validate(ctx context.Context, d Dropped) error {
	name := pgx.Identifier{d.Name}.Sanitize()
	err := b.Retried(ctx, func() error {
		_, err := b.Legacy.Exec(ctx, fmt.Sprintf(validateConstraint, d.Table, name))
		return err
	})
	if query.Violated(err) {
		b.r.Find(report.Finding{
			Code: "not_validated", Source: d.Table, Count: 1, Samples: []string{d.Name},
			Message: "a constraint that rows violate by now, so that it is enforced for new rows only: " + err.Error(),
		})
		return nil
	}
	return err
}
