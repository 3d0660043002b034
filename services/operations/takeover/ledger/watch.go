package ledger

import (
	"context"
	_ "embed"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

const setUnseen = `-- takeover.beUnseen
	select set_config('tenantpilot_takeover.unseen', 'on', true)`

// BeUnseen lets the triggers of [Ledger.Watch] ignore what tx writes. It is for writes
// that change nothing verify has looked at.
func BeUnseen(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, setUnseen)
	return err
}

//go:embed watch.sql
var watchTrigger string

// writeSeen is the trigger that notes writes.
const writeSeen = "tenantpilot_write_seen"

// Watched reports whether writes to a table are noted.
func Watched(ctx context.Context, q query.Row, table string) (bool, error) {
	return query.HasTrigger(ctx, q, table, writeSeen)
}

// Watch notes every write to a table from now on, in the table write_seen.
func (l *Ledger) Watch(ctx context.Context, table string) error {
	return l.Alter(ctx, l.Legacy, func(tx pgx.Tx) error {
		name, err := place(ctx, tx, table)
		if err != nil {
			return err
		}
		there, err := Watched(ctx, tx, name)
		if err != nil || there {
			return err
		}
		_, err = tx.Exec(ctx, strings.ReplaceAll(watchTrigger, "{table}", name))
		return err
	})
}

// place returns the name that a table has now: its own, or that in the archive.
func place(ctx context.Context, q query.Row, table string) (string, error) {
	gone, err := legacy.IsArchived(ctx, q, table)
	if gone {
		table = legacy.Archived(table)
	}
	return table, err
}

const dropWatch = `-- takeover.dropWatch
	drop trigger tenantpilot_write_seen on {table}`

// Unwatch ends [Ledger.Watch].
func (l *Ledger) Unwatch(ctx context.Context, table string) error {
	return l.Alter(ctx, l.Legacy, func(tx pgx.Tx) error {
		there, err := Watched(ctx, tx, table)
		if err != nil || !there {
			return err
		}
		_, err = tx.Exec(ctx, strings.ReplaceAll(dropWatch, "{table}", table))
		return err
	})
}
