package transfer

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// removeBatch is how many runs one transaction removes.
const removeBatch = 5_000

const getBlock = `-- takeover.getBlock
	select base, base + last_legacy_id from takeover_block where source = $1`

const countRuns = `-- takeover.countRuns
	select count(*) from operation_runs where id > $1 and id <= $2 and origin = 'legacy'`

const nextRuns = `-- takeover.nextRuns
	select id from operation_runs where id > $1 and id <= $2 and origin = 'legacy' order by id limit $3`

// Remove removes the runs that were made of the rows of source, and subtracts them from
// the statistics.
func Remove(ctx context.Context, l *ledger.Ledger, source string) error {
	var after, last, total int64
	err := l.Operations.QueryRow(ctx, getBlock, source).Scan(&after, &last)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	err = l.Operations.QueryRow(ctx, countRuns, after, last).Scan(&total)
	bar := l.Bar("remove the runs of "+source, total)
	for err == nil {
		var ids []int64
		err = l.Alter(ctx, l.Operations, func(tx pgx.Tx) error {
			var err error
			if ids, err = query.Column[int64](ctx, tx, nextRuns, after, last, removeBatch); err != nil || len(ids) == 0 {
				return err
			}
			return forgetRuns(ctx, tx, ids)
		})
		if len(ids) == 0 {
			return err
		}
		_ = bar.Add(len(ids))
		after = ids[len(ids)-1]
	}
	return err
}
