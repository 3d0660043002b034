package legacy

import (
	"context"
	"errors"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// Droppable are the tables that drop archives, in this order. It leaves restore_runs:
// a restore is more than its run.
var Droppable = []string{"entra_group_sync_runs", "backup_schedule_runs", SyncRuns}

// Staying are the tables that verify watches and drop does not archive.
var Staying = append([]string{CanonicalRuns, "restore_runs"}, ReferringTables...)

// Watched are all tables that verify looks at: a write to one of them afterwards makes
// its result worthless.
var Watched = append(append([]string{CanonicalRuns}, Bridged...), ReferringTables...)

// Archived returns the name of a table in the archive. Archiving only renames a table:
// that is instant at any size, keeps indexes and sequences, and can be undone exactly.
func Archived(table string) string { return "_archive_" + table }

// IsArchived reports whether a table is in the archive.
func IsArchived(ctx context.Context, q query.Row, table string) (bool, error) {
	there, err := query.HasTable(ctx, q, table)
	if err != nil || there {
		return false, err
	}
	return query.HasTable(ctx, q, Archived(table))
}

// NotArchived returns an error if a table is in the archive.
func NotArchived(ctx context.Context, q query.Row, tables ...string) error {
	for _, table := range tables {
		if gone, err := IsArchived(ctx, q, table); err != nil {
			return err
		} else if gone {
			return ErrArchived
		}
	}
	return nil
}

// ErrArchived means that a stage needs a table that drop has archived.
var ErrArchived = errors.New("tables are archived already: rollback --to drop brings them back")
