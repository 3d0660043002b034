package takeover

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// removeBatch is how many runs are removed in one transaction.
const removeBatch = 5_000

const getBlock = `-- takeover.getBlock
	select base, base + last_legacy_id from takeover_block where source = $1`

const countRuns = `-- takeover.countRuns
	select count(*) from operation_runs where id > $1 and id <= $2 and origin = 'legacy'`

const nextRuns = `-- takeover.nextRuns
	select id from operation_runs where id > $1 and id <= $2 and origin = 'legacy' order by id limit $3`

// removeRuns removes the runs that were made of the rows of source, and takes them
// out of the statistics.
func (t *Tool) removeRuns(ctx context.Context, source string) error {
	var after, last, total int64
	err := t.target.QueryRow(ctx, getBlock, source).Scan(&after, &last)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	err = t.target.QueryRow(ctx, countRuns, after, last).Scan(&total)
	bar := t.bar("remove the runs of "+source, total)
	for err == nil {
		var ids []int64
		err = t.alter(ctx, t.target, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, nextRuns, after, last, removeBatch)
			if err != nil {
				return err
			}
			if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil || len(ids) == 0 {
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
