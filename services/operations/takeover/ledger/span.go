package ledger

import (
	"context"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
)

// BatchRows is how many rows one transaction copies. It bounds what a crash costs, and how
// long a legacy writer waits for a row.
const BatchRows = 10_000

// Span is the rows of a source with After < id ≤ Until.
type Span struct{ After, Until int64 }

const readBatchEnd = `-- takeover.readBatchEnd
	select id from {source} where id > $1 order by id offset $2 - 1 limit 1`

// Spans returns the ids of a source above after, in spans of at most [BatchRows] rows.
// The last span reaches to the end of the source's block: so the spans cover every run of
// the block, also those whose rows are deleted.
func (l *Ledger) Spans(ctx context.Context, source string, after int64) iter.Seq2[Span, error] {
	return func(yield func(Span, error) bool) {
		for more := true; more; {
			s := Span{After: after}
			err := l.Retried(ctx, func() (err error) {
				s.Until, more, err = l.batchEnd(ctx, source, after)
				return err
			})
			if !yield(s, err) || err != nil {
				return
			}
			after = s.Until
		}
	}
}

// batchEnd returns the last id of the batch after an id, and whether more rows follow.
func (l *Ledger) batchEnd(ctx context.Context, source string, after int64) (until int64, more bool, err error) {
	err = l.Legacy.QueryRow(ctx, legacy.In(source, readBatchEnd), after, BatchRows).Scan(&until)
	if !errors.Is(err, pgx.ErrNoRows) {
		return until, true, err
	}
	b, err := l.BlockOf(ctx, source)
	return b.LastLegacyID, false, err
}
