package takeover

import (
	"context"
	_ "embed"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed watch.sql
var watchTrigger string

// watched are the tables that verify looks at: a write to one of them afterwards
// makes what it found worthless.
var watched = append(append([]string{canonicalRuns}, bridged...), referringTables...)

// watch lets writes to table be seen from now on.
func (t *Tool) watch(ctx context.Context, table string) error {
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		name, err := t.place(ctx, tx, table)
		if err != nil {
			return err
		}
		there, err := exists(ctx, tx, hasTrigger, name, "tenantpilot_write_seen")
		if err != nil || there {
			return err
		}
		_, err = tx.Exec(ctx, strings.ReplaceAll(watchTrigger, "{table}", name))
		return err
	})
}

// place is where a table is: under its own name, or in the archive.
func (t *Tool) place(ctx context.Context, q rower, table string) (string, error) {
	gone, err := t.isArchived(ctx, q, table)
	if gone {
		table = archived(table)
	}
	return table, err
}

const dropWatch = `-- takeover.dropWatch
	drop trigger tenantpilot_write_seen on {table}`

func (t *Tool) unwatch(ctx context.Context, table string) error {
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		there, err := exists(ctx, tx, hasTrigger, table, "tenantpilot_write_seen")
		if err != nil || !there {
			return err
		}
		_, err = tx.Exec(ctx, strings.ReplaceAll(dropWatch, "{table}", table))
		return err
	})
}
