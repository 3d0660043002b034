package undo

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// Values are the statements that give the saved values of a column back to its rows.
// {table} and {column} stand for the names.
type Values struct {
	Table, Column string
	Count         string // how many values are saved
	Next          string // id and value of the next $1 saved values
	Write         string // writes the values $2 to the rows $1
	Forget        string // forgets those of the values of rows $1 that were written ($2), or whose row is deleted
}

// saved is the value that a row had.
type saved struct {
	ID    int64
	Value *int64
}

// batch is how many rows one transaction writes and locks.
const batch = 5_000

const lockRows = `-- takeover.lockRows
	select id from {table} where id = any($1) order by id for update skip locked`

func (v Values) in(sql string) string {
	return strings.NewReplacer("{table}", v.Table, "{column}", v.Column).Replace(sql)
}

// GiveBack writes saved values back and forgets them in the same transaction. It skips a
// row that a writer has locked, and tries it again later: if it waited for the row while
// it held others, the writer might wait for one of those.
func GiveBack(ctx context.Context, l *ledger.Ledger, v Values) error {
	var total int64
	if err := l.Legacy.QueryRow(ctx, v.in(v.Count)).Scan(&total); err != nil {
		return err
	}
	bar := l.Bar("give back "+v.Table+"."+v.Column, total)
	for {
		var left, done int
		err := l.Alter(ctx, l.Legacy, func(tx pgx.Tx) (err error) {
			left, done, err = v.giveBatch(ctx, tx)
			return err
		})
		if err != nil || left == 0 {
			return err
		}
		_ = bar.Add(done)
		if done == 0 {
			if err := ledger.Pause(ctx); err != nil {
				return err
			}
		}
	}
}

// giveBatch returns how many values it found, and how many of them are done.
func (v Values) giveBatch(ctx context.Context, tx pgx.Tx) (found, done int, err error) {
	if err := ledger.BeUnseen(ctx, tx); err != nil {
		return 0, 0, err
	}
	values, err := query.Collect[saved](ctx, tx, v.in(v.Next), batch)
	if err != nil || len(values) == 0 {
		return 0, 0, err
	}
	ids := make([]int64, len(values))
	for i, s := range values {
		ids[i] = s.ID
	}
	locked, err := query.Column[int64](ctx, tx, v.in(lockRows), ids)
	if err != nil {
		return 0, 0, err
	}
	var write []*int64
	for _, s := range values {
		if _, mine := slices.BinarySearch(locked, s.ID); mine {
			write = append(write, s.Value)
		}
	}
	if _, err := tx.Exec(ctx, v.in(v.Write), locked, write); err != nil {
		return 0, 0, err
	}
	forgotten, err := tx.Exec(ctx, v.in(v.Forget), ids, locked)
	return len(values), int(forgotten.RowsAffected()), err
}
