package takeover

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

const hasTrigger = `-- takeover.hasTrigger
	select exists (select from pg_trigger where tgrelid = to_regclass($1) and tgname = $2)`

const dropReferenceTrigger = `-- takeover.dropReferenceTrigger
	drop trigger tenantpilot_repoint_{old} on {table}`

const dropNewColumn = `-- takeover.dropNewColumn
	alter table {table} drop column {new}`

const forgetColumn = `-- takeover.forgetColumn
	delete from tenantpilot_takeover.added_column where table_name = $1 and column_name = $2`

// repoint brings the old columns back, and the new ones to what they were.
func (u *undoing) repoint(ctx context.Context) error {
	for _, ref := range references {
		if err := u.unfollow(ctx, ref); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		if err := u.restoreNew(ctx, ref); err != nil {
			return fmt.Errorf("%s.%s: %w", ref.table, ref.new, err)
		}
	}
	if err := u.bringBack(ctx, u.r, "repoint", u.restoreOld); err != nil {
		return err
	}
	for _, ref := range references {
		if err := u.removeNew(ctx, ref); err != nil {
			return fmt.Errorf("%s.%s: %w", ref.table, ref.new, err)
		}
	}
	_, err := u.legacy.Exec(ctx, forgetReferences)
	return err
}

const forgetReferences = `-- takeover.forgetReferences
	delete from tenantpilot_takeover.saved_reference`

func (u *undoing) unfollow(ctx context.Context, ref reference) error {
	return u.alter(ctx, u.legacy, func(tx pgx.Tx) error {
		there, err := exists(ctx, tx, hasTrigger, ref.table, "tenantpilot_repoint_"+ref.old)
		if err != nil || !there {
			return err
		}
		_, err = tx.Exec(ctx, ref.in(dropReferenceTrigger))
		return err
	})
}

// removeNew drops a column that repoint added.
func (u *undoing) removeNew(ctx context.Context, ref reference) error {
	return u.alter(ctx, u.legacy, func(tx pgx.Tx) error {
		added, err := exists(ctx, tx, isAdded, ref.table, ref.new)
		if err != nil || !added {
			return err
		}
		if _, err := tx.Exec(ctx, ref.in(dropNewColumn)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, forgetColumn, ref.table, ref.new)
		return err
	})
}

// restoreOld fills an old column that has just come back.
func (u *undoing) restoreOld(ctx context.Context, g gone) error {
	column, ok := strings.CutPrefix(g.Name, "column ")
	if !ok {
		return nil
	}
	return u.giveBack(ctx, savedColumn(g.Table, column))
}

// restoreNew gives a column that was there before the takeover its values again.
func (u *undoing) restoreNew(ctx context.Context, ref reference) error {
	there, err := u.columnsOf(ctx, u.legacy, ref)
	if err != nil || !there.new {
		return err
	}
	return u.giveBack(ctx, savedColumn(ref.table, ref.new))
}

const undecideHistory = `-- takeover.undecideHistory
	update tenantpilot_takeover.takeover set history = null, stale_before = '-infinity', cut_over_at = null`

const forgetPasses = `-- takeover.forgetPasses
	delete from tenantpilot_takeover.progress`

// backfill restores the bridges and their keys, and removes the imported runs.
func (u *undoing) backfill(ctx context.Context) error {
	for _, table := range bridged {
		if err := u.giveBack(ctx, savedBridges(table)); err != nil {
			return fmt.Errorf("bridges of %s: %w", table, err)
		}
	}
	if err := u.bringBack(ctx, u.r, "backfill", nothingMore); err != nil {
		return err
	}
	for _, source := range bridged {
		if err := u.removeRuns(ctx, source); err != nil {
			return fmt.Errorf("runs of %s: %w", source, err)
		}
	}
	for _, sql := range []string{undecideHistory, forgetPasses} {
		if _, err := u.legacy.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := u.reactivate(ctx); err != nil {
		return fmt.Errorf("canonical runs that were given up: %w", err)
	}
	_, err := u.target.Exec(ctx, holdStarts)
	return err
}

const givenUpRuns = `-- takeover.givenUpRuns
	select r.id - b.base from operation_runs r
	join takeover_block b on b.source = 'operation_runs' and r.id > b.base and r.id <= b.base + b.last_legacy_id
	where r.origin = 'legacy' and r.context -> 'legacy' -> 'notes' ? 'given_up_as_stale' order by 1`

// reactivate gives adopted runs back the state that adopt gave them.
func (u *undoing) reactivate(ctx context.Context) error {
	rows, err := u.target.Query(ctx, givenUpRuns)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := u.copyRuns(ctx, canonicalRuns, id-1, id); err != nil {
			return err
		}
	}
	return nil
}

// What the cut-over allowed.
const holdStarts = `-- takeover.holdStarts
	update workspace_hold h set starts_allowed = false
	where starts_allowed and not exists (select from operation_runs r where r.workspace_id = h.workspace_id and r.origin = 'live')`

const forgetBlocks = `-- takeover.forgetBlocks
	with h as (delete from workspace_hold)
	delete from takeover_block`

const forgetMaps = `-- takeover.forgetMaps
	with w as (delete from tenantpilot_takeover.workspace_map), t as (delete from tenantpilot_takeover.tenant_map),
		u as (delete from tenantpilot_takeover.user_map), y as (delete from tenantpilot_takeover.type_map),
		z as (update tenantpilot_takeover.takeover set timezone = 'UTC')
	delete from tenantpilot_takeover.run_block`

// adopt removes the runs that were adopted, and what was decided about them.
func (u *undoing) adopt(ctx context.Context) error {
	if err := u.removeRuns(ctx, canonicalRuns); err != nil {
		return err
	}
	if _, err := u.legacy.Exec(ctx, forgetPasses); err != nil {
		return err
	}
	if _, err := u.legacy.Exec(ctx, forgetMaps); err != nil {
		return err
	}
	_, err := u.target.Exec(ctx, forgetBlocks)
	return err
}
