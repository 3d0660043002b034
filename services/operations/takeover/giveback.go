package takeover

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// savedValues are values of a column that go back to their rows, and the statements
// for that. They are short ones with lists, which the planner cannot mistake.
type savedValues struct{ column, count, next, lock, write, forget string }

// savedValue is what a row had.
type savedValue struct {
	ID    int64
	Value *int64
}

const lockRows = `-- takeover.lockRows
	select id from {table} where id = any($1) order by id for update skip locked`

const countReferenceValues = `-- takeover.countReferenceValues
	select count(*) from tenantpilot_takeover.saved_reference where table_name = '{table}' and column_name = '{column}'`

const nextReferenceValues = `-- takeover.nextReferenceValues
	select id, value from tenantpilot_takeover.saved_reference where table_name = '{table}' and column_name = '{column}' order by id limit $1`

const writeReferences = `-- takeover.writeReferences
	update {table} t set {column} = s.value from unnest($1::bigint[], $2::bigint[]) s (id, value)
	where t.id = s.id and t.{column} is distinct from s.value`

const forgetReferenceValues = `-- takeover.forgetReferenceValues
	delete from tenantpilot_takeover.saved_reference s where table_name = '{table}' and column_name = '{column}' and id = any($1)
		and (id = any($2) or not exists (select from {table} t where t.id = s.id))`

// savedColumn is what repoint saved of a column.
func savedColumn(table, column string) savedValues {
	return savedValues{
		count: countReferenceValues, next: nextReferenceValues, lock: lockRows, write: writeReferences, forget: forgetReferenceValues,
	}.of(table, column)
}

const countBridges = `-- takeover.countBridges
	select count(*) from tenantpilot_takeover.saved_bridge where source = '{table}'`

const nextBridges = `-- takeover.nextBridges
	select id, operation_run_id from tenantpilot_takeover.saved_bridge where source = '{table}' order by id limit $1`

// A bridge gets its saved value back unless the older installation has written
// another since: what backfill wrote is null, the row's own run, or a translation.
const restoreBridges = `-- takeover.restoreBridges
	update {table} t set operation_run_id = s.value
	from unnest($1::bigint[], $2::bigint[]) s (id, value)
	left join tenantpilot_takeover.run_block own on own.source = '{table}'
	left join tenantpilot_takeover.run_block canonical on canonical.source = 'operation_runs'
	where t.id = s.id and (t.operation_run_id is null or t.operation_run_id in (own.base + s.id, canonical.base + s.value))`

const forgetBridges = `-- takeover.forgetBridges
	delete from tenantpilot_takeover.saved_bridge s where source = '{table}' and id = any($1)
		and (id = any($2) or not exists (select from {table} t where t.id = s.id))`

// savedBridges is what backfill saved of a table's bridges.
func savedBridges(table string) savedValues {
	return savedValues{
		count: countBridges, next: nextBridges, lock: lockRows, write: restoreBridges, forget: forgetBridges,
	}.of(table, "operation_run_id")
}

func (s savedValues) of(table, column string) savedValues {
	in := strings.NewReplacer("{table}", table, "{column}", column)
	return savedValues{table + "." + column, in.Replace(s.count), in.Replace(s.next), in.Replace(s.lock), in.Replace(s.write), in.Replace(s.forget)}
}

// giveBack writes saved values back, and forgets them with that. A row that a writer
// has locked is left for the next time: waiting for it with others locked, the two
// could wait for each other.
func (u *undoing) giveBack(ctx context.Context, s savedValues) error {
	var total int64
	if err := u.legacy.QueryRow(ctx, s.count).Scan(&total); err != nil {
		return err
	}
	bar := u.bar("give back "+s.column, total)
	for {
		var seen, done int
		err := u.alter(ctx, u.legacy, func(tx pgx.Tx) (err error) {
			seen, done, err = s.giveBatch(ctx, tx)
			return err
		})
		if err != nil || seen == 0 {
			return err
		}
		_ = bar.Add(done)
		if done == 0 {
			if err := pause.For(ctx, retryPause); err != nil {
				return err
			}
		}
	}
}

func (s savedValues) giveBatch(ctx context.Context, tx pgx.Tx) (seen, done int, err error) {
	if err := unseen(ctx, tx); err != nil {
		return 0, 0, err
	}
	saved, err := collect[savedValue](ctx, tx, s.next, referenceBatch)
	if err != nil || len(saved) == 0 {
		return 0, 0, err
	}
	ids := make([]int64, len(saved))
	for i, v := range saved {
		ids[i] = v.ID
	}
	locked, err := ids64(ctx, tx, s.lock, ids)
	if err != nil {
		return 0, 0, err
	}
	var values []*int64
	for _, v := range saved {
		if _, mine := slices.BinarySearch(locked, v.ID); mine {
			values = append(values, v.Value)
		}
	}
	if _, err := tx.Exec(ctx, s.write, locked, values); err != nil {
		return 0, 0, err
	}
	forgotten, err := tx.Exec(ctx, s.forget, ids, locked)
	return len(saved), int(forgotten.RowsAffected()), err
}

func ids64(ctx context.Context, q querier, sql string, args ...any) ([]int64, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
