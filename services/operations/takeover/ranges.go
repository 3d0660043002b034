package takeover

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
)

// batchRows is how many rows go over in one transaction: what a crash costs, and how
// long a legacy writer may wait for a row.
const batchRows = 10_000

// span is the ids of a source above after and up to until.
type span struct{ after, until int64 }

const readBatchEnd = `-- takeover.readBatchEnd
	select id from {source} where id > $1 order by id offset $2 - 1 limit 1`

const readBlock = `-- takeover.readBlock
	select b.source, b.last_legacy_id, b.base, coalesce((select max(id) from {source}), 0)
	from tenantpilot_takeover.run_block b where b.source = '{source}'`

// sourceBlock answers the ids set aside for source. It fails if there are none, or
// if the legacy table has outgrown them.
func (t *Tool) sourceBlock(ctx context.Context, source string) (block, error) {
	var b block
	var highest int64
	err := t.legacy.QueryRow(ctx, in(source, readBlock)).Scan(&b.Source, &b.LastLegacyID, &b.Base, &highest)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return b, fmt.Errorf("no run ids are set aside for %s: adopt comes first", source)
	case err != nil:
		return b, fmt.Errorf("read the run ids of %s: %w", source, err)
	case highest > b.LastLegacyID:
		return b, fmt.Errorf("%s has row %d, and run ids are set aside up to row %d: roll adopt back and adopt again, with an --id-offset",
			source, highest, b.LastLegacyID)
	}
	return b, nil
}

// ranges answers the ids of source above after in spans of at most [batchRows] rows
// each, in order. The last span reaches to the end of the source's block, so that all
// spans together cover it, and runs whose rows are gone are met too.
func (t *Tool) ranges(ctx context.Context, source string, after int64) iter.Seq2[span, error] {
	return func(yield func(span, error) bool) {
		for more := true; more; {
			s := span{after: after}
			err := t.retried(ctx, func() (err error) {
				s.until, more, err = t.batchEnd(ctx, source, after)
				return err
			})
			if !yield(s, err) || err != nil {
				return
			}
			after = s.until
		}
	}
}

// batchEnd answers where the batch after an id ends, and whether more follow it.
func (t *Tool) batchEnd(ctx context.Context, source string, after int64) (until int64, more bool, err error) {
	err = t.legacy.QueryRow(ctx, in(source, readBatchEnd), after, batchRows).Scan(&until)
	if !errors.Is(err, pgx.ErrNoRows) {
		return until, true, err
	}
	b, err := t.sourceBlock(ctx, source)
	return b.LastLegacyID, false, err
}
