package takeover

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed views
var views embed.FS

// sources are the legacy tables whose rows become runs; those that are canonical
// already come first.
var sources = []string{canonicalRuns, "inventory_sync_runs", "entra_group_sync_runs", "backup_schedule_runs", "restore_runs"}

// in puts the name of a source, which is one of a few constants, into a statement.
func in(source, sql string) string { return strings.ReplaceAll(sql, "{source}", source) }

const dropViews = `-- takeover.dropViews
	drop view if exists tenantpilot_takeover.mapped_{source}, tenantpilot_takeover.link_{source}, tenantpilot_takeover.row_{source}`

// makeViews replaces the views of what each legacy row becomes. A table that is
// archived, or that the legacy database lacks, has none.
func (t *Tool) makeViews(ctx context.Context) error {
	return t.alter(ctx, t.legacy, func(tx pgx.Tx) error {
		for _, source := range sources {
			if _, err := tx.Exec(ctx, in(source, dropViews)); err != nil {
				return fmt.Errorf("drop the views of %s: %w", source, err)
			}
		}
		if err := makeFrom(ctx, tx, "rules"); err != nil && !lacking(err) {
			return err
		}
		for _, source := range sources {
			if err := makeFrom(ctx, tx, source); err != nil && !lacking(err) {
				return err
			}
		}
		_, err := tx.Exec(ctx, analyseMaps)
		return err
	})
}

// The planner thinks of hundreds of rows in a table of one that nobody counted.
const analyseMaps = `-- takeover.analyseMaps
	analyze tenantpilot_takeover.takeover, tenantpilot_takeover.run_block, tenantpilot_takeover.type_map,
		tenantpilot_takeover.workspace_map, tenantpilot_takeover.tenant_map, tenantpilot_takeover.user_map`

// makeFrom runs a file of views in a savepoint, so that one that cannot be does
// not spoil the others.
func makeFrom(ctx context.Context, tx pgx.Tx, name string) error {
	sql, err := views.ReadFile("views/" + name + ".sql")
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
		_, err := sp.Exec(ctx, string(sql))
		return err
	})
	if err != nil {
		return fmt.Errorf("make the views of %s: %w", name, err)
	}
	return nil
}

// lacking says that err is about a table or a column that is not there.
func lacking(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"42P01", "42703"}, e.Code)
}
