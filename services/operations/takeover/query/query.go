// Package query reads and locks tables for every stage of the takeover. It knows no
// table by name.
package query

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Rows is a pool, a connection or a transaction that reads many rows.
type Rows interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Row is a pool, a connection or a transaction that reads one row.
type Row interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// DB reads one row or many.
type DB interface {
	Rows
	Row
}

// Collect returns all rows of sql; the n-th column fills the n-th field of T.
func Collect[T any](ctx context.Context, q Rows, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// Column returns the only column of sql.
func Column[T any](ctx context.Context, q Rows, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// True returns the one boolean that sql selects.
func True(ctx context.Context, q Row, sql string, args ...any) (found bool, err error) {
	err = q.QueryRow(ctx, sql, args...).Scan(&found)
	return found, err
}

const hasTable = `-- takeover.hasTable
	select to_regclass($1) is not null`

// HasTable reports whether the database has a table.
func HasTable(ctx context.Context, q Row, table string) (bool, error) {
	return True(ctx, q, hasTable, table)
}

const hasColumn = `-- takeover.hasColumn
	select exists (select from pg_attribute where attrelid = to_regclass($1) and attname = $2 and attnum > 0 and not attisdropped)`

// HasColumn reports whether a table exists and has a column.
func HasColumn(ctx context.Context, q Row, table, column string) (bool, error) {
	return True(ctx, q, hasColumn, table, column)
}

const hasTrigger = `-- takeover.hasTrigger
	select exists (select from pg_trigger where tgrelid = to_regclass($1) and tgname = $2)`

// HasTrigger reports whether a table exists and has a trigger.
func HasTrigger(ctx context.Context, q Row, table, trigger string) (bool, error) {
	return True(ctx, q, hasTrigger, table, trigger)
}

const estimateRows = `-- takeover.estimateRows
	select greatest(reltuples, 0)::bigint from pg_class where oid = to_regclass($1)`

// EstimateRows returns how many rows the planner thinks a table has, without counting them.
func EstimateRows(ctx context.Context, q Row, table string) (rows int64, err error) {
	err = q.QueryRow(ctx, estimateRows, table).Scan(&rows)
	return rows, err
}

// RolledBack runs do in a transaction and always rolls it back.
func RolledBack(ctx context.Context, db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, do func(pgx.Tx) error,
) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return do(tx)
}

const lockTable = `-- takeover.lockTable
	lock table {table} in access exclusive mode`

const lockTableAtOnce = `-- takeover.lockTableAtOnce
	lock table {table} in access exclusive mode nowait`

// LockTable locks a table against readers and writers until tx ends. It waits at most as
// long as lock_timeout; [Crowded] recognises the error.
func LockTable(ctx context.Context, tx pgx.Tx, table string) error {
	_, err := tx.Exec(ctx, strings.ReplaceAll(lockTable, "{table}", table))
	return err
}

// LockMore locks more tables after [LockTable], and fails at once if one is in use: while
// we hold a lock, the writer that holds the next may wait for ours.
func LockMore(ctx context.Context, tx pgx.Tx, tables ...string) error {
	for _, table := range tables {
		if _, err := tx.Exec(ctx, strings.ReplaceAll(lockTableAtOnce, "{table}", table)); err != nil {
			return err
		}
	}
	return nil
}

const dropConstraint = `-- takeover.dropConstraint
	alter table {table} drop constraint {name}`

// DropConstraints drops constraints of a table by name.
func DropConstraints(ctx context.Context, tx pgx.Tx, table string, names []string) error {
	for _, name := range names {
		in := strings.NewReplacer("{table}", table, "{name}", pgx.Identifier{name}.Sanitize())
		if _, err := tx.Exec(ctx, in.Replace(dropConstraint)); err != nil {
			return err
		}
	}
	return nil
}
