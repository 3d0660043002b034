package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// Block is the range of run ids that is reserved for a source: row N becomes run
// Base + N, for N up to LastLegacyID. Example: with Base 5,000,000, row 42 becomes run 5,000,042.
type Block struct {
	Source       string
	LastLegacyID int64
	Base         int64
}

// End returns the highest run id of the block.
func (b Block) End() int64 { return b.Base + b.LastLegacyID }

const readBlocks = `-- takeover.readBlocks
	select source, last_legacy_id, base from takeover_block order by source`

// Blocks returns all blocks, read from the operations database by q. There are none
// before adopt.
func Blocks(ctx context.Context, q query.Rows) ([]Block, error) {
	return query.Collect[Block](ctx, q, readBlocks)
}

const readBlock = `-- takeover.readBlock
	select b.source, b.last_legacy_id, b.base, coalesce((select max(id) from {source}), 0)
	from tenantpilot_takeover.run_block b where b.source = '{source}'`

// BlockOf returns the block of a source. It fails if there is none, or if the source has
// a row beyond it.
func (l *Ledger) BlockOf(ctx context.Context, source string) (Block, error) {
	var b Block
	var highest int64
	err := l.Legacy.QueryRow(ctx, legacy.In(source, readBlock)).Scan(&b.Source, &b.LastLegacyID, &b.Base, &highest)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return b, fmt.Errorf("no run ids are reserved for %s: adopt comes first", source)
	case err != nil:
		return b, fmt.Errorf("read the run ids of %s: %w", source, err)
	case highest > b.LastLegacyID:
		return b, fmt.Errorf("%s has row %d, and run ids are reserved up to row %d: roll adopt back and adopt again, with an --id-offset",
			source, highest, b.LastLegacyID)
	}
	return b, nil
}
