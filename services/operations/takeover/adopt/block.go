package adopt

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// highestRunID is the highest id that a run may get. The ids of a second shard of the
// operations database would begin at 1 << 48.
const highestRunID = 1 << 47

// room is how far a source may grow: a block has ids for twice the highest row of now, and
// for this many more.
const room = 1_000_000

// legacyIDs are the lowest and the highest id of a source, both 0 if it has no rows.
type legacyIDs struct{ Min, Max int64 }

const readLegacyIDs = `-- takeover.readLegacyIDs
	select coalesce(min(id), 0), coalesce(max(id), 0) from {table}`

func (a *adoption) legacyIDs(ctx context.Context) (map[string]legacyIDs, error) {
	ids := map[string]legacyIDs{}
	for _, table := range legacy.RunTables {
		var i legacyIDs
		if err := a.Legacy.QueryRow(ctx, table.In(readLegacyIDs)).Scan(&i.Min, &i.Max); err != nil {
			return nil, fmt.Errorf("ids of %s: %w", table.Name, err)
		}
		ids[table.Name] = i
	}
	return ids, nil
}

const copyBlocks = `-- takeover.copyBlocks
	with gone as (
		delete from tenantpilot_takeover.run_block where source <> all($1::text[])
	)
	insert into tenantpilot_takeover.run_block (source, last_legacy_id, base)
	select * from unnest($1::text[], $2::bigint[], $3::bigint[])
	on conflict (source) do update set last_legacy_id = excluded.last_legacy_id, base = excluded.base`

// copyBlocks copies the blocks from the operations database to the legacy database.
func (a *adoption) copyBlocks(ctx context.Context) error {
	blocks, err := ledger.Blocks(ctx, a.Operations)
	if err != nil {
		return fmt.Errorf("read blocks of ids: %w", err)
	}
	sources, lasts, bases := []string{}, []int64{}, []int64{}
	for _, b := range blocks {
		sources, lasts, bases = append(sources, b.Source), append(lasts, b.LastLegacyID), append(bases, b.Base)
	}
	if _, err := a.Legacy.Exec(ctx, copyBlocks, sources, lasts, bases); err != nil {
		return fmt.Errorf("copy blocks of ids: %w", err)
	}
	return nil
}

// used is what is known of the ids of existing runs.
type used struct {
	highest   int64 // highest id of a run, or given out by the sequence
	colliding int64 // runs whose ids the canonical rows need
	next      int64 // lowest id of a run above those; 0 if there is none
}

const readUsed = `-- takeover.readUsed
	select greatest(
			(select case when is_called then last_value else last_value - 1 end from operation_runs_id_seq),
			(select coalesce(max(id), 0) from operation_runs)),
		(select count(*) from operation_runs where id between $1 and $2),
		(select coalesce(min(id), 0) from operation_runs where id > $2)`

func readUsedIDs(ctx context.Context, tx pgx.Tx, ids legacyIDs, offset int64) (u used, err error) {
	err = tx.QueryRow(ctx, readUsed, offset+ids.Min, offset+ids.Max).Scan(&u.highest, &u.colliding, &u.next)
	return u, err
}

// taken is an error: ids cannot be as asked. It proposes an offset that works.
type taken struct {
	why     string
	propose int64
}

func (t taken) Error() string { return fmt.Sprintf("%s: adopt with --id-offset %d", t.why, t.propose) }

// planBlocks returns the blocks to reserve. It returns a [taken] error if another offset
// is needed.
func planBlocks(ids map[string]legacyIDs, u used, offset int64) ([]ledger.Block, error) {
	canonical, err := planCanonical(ids[legacy.CanonicalRuns], u, offset)
	if err != nil {
		return nil, err
	}
	blocks, end := []ledger.Block{canonical}, max(u.highest, canonical.End())
	for _, table := range legacy.RunTables {
		if table.Name == legacy.CanonicalRuns {
			continue
		}
		b := ledger.Block{Source: table.Name, LastLegacyID: 2*ids[table.Name].Max + room, Base: end}
		blocks, end = append(blocks, b), b.End()
	}
	if end > highestRunID {
		return nil, fmt.Errorf("ids up to %d would be needed, and %d is the highest: choose a lower --id-offset", end, int64(highestRunID))
	}
	return blocks, nil
}

// planCanonical returns the block of canonical rows. Their ids stay as they are, or all
// move by one offset, which is higher than any id of theirs: so a number is either a legacy
// id or a new one, and never both.
func planCanonical(ids legacyIDs, u used, offset int64) (ledger.Block, error) {
	b := ledger.Block{Source: legacy.CanonicalRuns, Base: offset, LastLegacyID: 2*ids.Max + room}
	propose := roundUp(max(u.highest, b.LastLegacyID))
	switch {
	case offset != 0 && offset < b.LastLegacyID:
		return b, taken{fmt.Sprintf("--id-offset %d is less than the ids that rows may have, up to %d", offset, b.LastLegacyID), propose}
	case u.colliding > 0:
		return b, taken{fmt.Sprintf("%d runs have ids between %d and %d, where those of canonical rows would be", u.colliding, offset+ids.Min, offset+ids.Max), propose}
	case u.next > 0:
		b.LastLegacyID = min(b.LastLegacyID, u.next-1-offset)
	}
	return b, nil
}

// roundUp rounds an offset up, so that people recognise a legacy id in the new one: 42 becomes
// 3,000,042.
func roundUp(n int64) int64 {
	step := int64(room)
	for step*100 <= n {
		step *= 10
	}
	return (n + step - 1) / step * step
}

// outgrown returns the sources with rows beyond their blocks.
func outgrown(blocks []ledger.Block, ids map[string]legacyIDs) (sources []string) {
	for _, b := range blocks {
		if last := ids[b.Source].Max; last > b.LastLegacyID {
			sources = append(sources, fmt.Sprintf("%s has row %d, and ids up to row %d", b.Source, last, b.LastLegacyID))
		}
	}
	return sources
}

// No run is made while we hold this lock. A waiting insert takes its id from the sequence
// only after that.
const lockRuns = `-- takeover.lockRuns
	lock table operation_runs in share row exclusive mode`

const saveBlock = `-- takeover.saveBlock
	insert into takeover_block (source, last_legacy_id, base) values ($1, $2, $3)`

const advanceSequence = `-- takeover.advanceSequence
	select setval('operation_runs_id_seq', $1) from operation_runs_id_seq where last_value < $1`

// A workspace with live runs may go on starting some; only its retention is held.
const holdWorkspaces = `-- takeover.holdWorkspaces
	insert into workspace_hold (workspace_id, starts_allowed)
	select w, exists (select from operation_runs r where r.workspace_id = w and r.origin = 'live')
	from unnest($1::bigint[]) w
	on conflict do nothing`

// reserve reserves ids, unless an earlier call has, and holds workspaces. No live run
// starts in between.
func (a *adoption) reserve(ctx context.Context, ids map[string]legacyIDs, offset int64, workspaces []int64) error {
	return a.Alter(ctx, a.Operations, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockRuns); err != nil {
			return fmt.Errorf("lock runs: %w", err)
		}
		if err := reserveBlocks(ctx, tx, ids, offset); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, holdWorkspaces, workspaces); err != nil {
			return fmt.Errorf("hold workspaces: %w", err)
		}
		return nil
	})
}

func reserveBlocks(ctx context.Context, tx pgx.Tx, ids map[string]legacyIDs, offset int64) error {
	reserved, err := ledger.Blocks(ctx, tx)
	if err != nil || len(reserved) > 0 {
		return err
	}
	u, err := readUsedIDs(ctx, tx, ids[legacy.CanonicalRuns], offset)
	if err != nil {
		return fmt.Errorf("read ids in use: %w", err)
	}
	blocks, err := planBlocks(ids, u, offset)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if _, err := tx.Exec(ctx, saveBlock, b.Source, b.LastLegacyID, b.Base); err != nil {
			return fmt.Errorf("reserve ids: %w", err)
		}
	}
	end := slices.MaxFunc(blocks, func(x, y ledger.Block) int { return cmp.Compare(x.End(), y.End()) }).End()
	if _, err := tx.Exec(ctx, advanceSequence, end); err != nil {
		return fmt.Errorf("advance the sequence of ids: %w", err)
	}
	return nil
}

// decideIDs checks that runs can have the ids that the operator wants.
func (a *adoption) decideIDs(ctx context.Context) (err error) {
	if a.ids, err = a.legacyIDs(ctx); err != nil {
		return err
	}
	blocks := a.blocks
	var refused error
	if !a.reserved() {
		err = query.RolledBack(ctx, a.Operations, func(tx pgx.Tx) error {
			u, err := readUsedIDs(ctx, tx, a.ids[legacy.CanonicalRuns], a.o.IDOffset)
			if err == nil {
				blocks, refused = planBlocks(a.ids, u, a.o.IDOffset)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read ids in use: %w", err)
		}
	}
	a.showBlocks(blocks)
	a.checkIDs(blocks, refused)
	return nil
}

func (a *adoption) checkIDs(blocks []ledger.Block, refused error) {
	const name = "the ids that runs need are free"
	at := slices.IndexFunc(blocks, func(b ledger.Block) bool { return b.Source == legacy.CanonicalRuns })
	beyond := outgrown(blocks, a.ids)
	switch {
	case refused != nil:
		a.r.Check(name, false, "%v", refused)
	case len(beyond) > 0:
		a.r.Check(name, false, "%s: roll adopt back and adopt again, with an --id-offset", report.List(beyond))
	case a.o.IDOffset != 0 && a.o.IDOffset != blocks[at].Base:
		a.r.Check(name, false, "ids were reserved with the offset %d before: roll adopt back to change that", blocks[at].Base)
	default:
		a.r.Check(name, true, "the offset of canonical runs is %d", blocks[at].Base)
	}
}

func (a *adoption) showBlocks(blocks []ledger.Block) {
	table := a.r.Table("Ids of runs", "table", "last row", "rows may go to", "run is row plus")
	for _, b := range blocks {
		table.Row(b.Source, a.ids[b.Source].Max, b.LastLegacyID, b.Base)
	}
}
