package backfill

import (
	"context"
	"fmt"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/transfer"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/undo"
)

const undecideHistory = `-- takeover.undecideHistory
	update tenantpilot_takeover.takeover set history = null, stale_before = '-infinity', cut_over_at = null`

const ForgetPasses = `-- takeover.forgetPasses
	delete from tenantpilot_takeover.progress`

// Undo restores the bridges and their foreign keys, and removes the imported runs.
func Undo(ctx context.Context, l *ledger.Ledger, r *report.Report) error {
	for _, table := range legacy.Bridged {
		if err := giveBack(ctx, l, table); err != nil {
			return fmt.Errorf("bridges of %s: %w", table, err)
		}
	}
	if err := undo.BringBack(ctx, l, r, "backfill", nil); err != nil {
		return err
	}
	for _, source := range legacy.Bridged {
		if err := transfer.Remove(ctx, l, source); err != nil {
			return fmt.Errorf("runs of %s: %w", source, err)
		}
	}
	if _, err := l.Legacy.Exec(ctx, undecideHistory); err != nil {
		return err
	}
	if err := l.ForgetPasses(ctx); err != nil {
		return err
	}
	if err := reactivate(ctx, l); err != nil {
		return fmt.Errorf("canonical runs that were given up: %w", err)
	}
	_, err := l.Operations.Exec(ctx, holdStarts)
	return err
}

const givenUpRuns = `-- takeover.givenUpRuns
	select r.id - b.base from operation_runs r
	join takeover_block b on b.source = 'operation_runs' and r.id > b.base and r.id <= b.base + b.last_legacy_id
	where r.origin = 'legacy' and r.context -> 'legacy' -> 'notes' ? 'given_up_as_stale' order by 1`

// reactivate gives adopted runs the state back that adopt gave them.
func reactivate(ctx context.Context, l *ledger.Ledger) error {
	ids, err := query.Column[int64](ctx, l.Operations, givenUpRuns)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := transfer.Copy(ctx, l, legacy.CanonicalRuns, ledger.Span{After: id - 1, Until: id}); err != nil {
			return err
		}
	}
	return nil
}

// It takes back what the cut-over allowed.
const holdStarts = `-- takeover.holdStarts
	update workspace_hold h set starts_allowed = false
	where starts_allowed and not exists (select from operation_runs r where r.workspace_id = h.workspace_id and r.origin = 'live')`

const countBridges = `-- takeover.countBridges
	select count(*) from tenantpilot_takeover.saved_bridge where source = '{table}'`

const nextBridges = `-- takeover.nextBridges
	select id, operation_run_id from tenantpilot_takeover.saved_bridge where source = '{table}' order by id limit $1`

// A bridge gets its saved value back unless the older installation has written another
// one since. Backfill writes null, the row's own run, or the translation of the saved run.
const restoreBridges = `-- takeover.restoreBridges
	update {table} t set operation_run_id = s.value
	from unnest($1::bigint[], $2::bigint[]) s (id, value)
	left join tenantpilot_takeover.run_block own on own.source = '{table}'
	left join tenantpilot_takeover.run_block canonical on canonical.source = 'operation_runs'
	where t.id = s.id and (t.operation_run_id is null or t.operation_run_id in (own.base + s.id, canonical.base + s.value))`

const forgetBridges = `-- takeover.forgetBridges
	delete from tenantpilot_takeover.saved_bridge s where source = '{table}' and id = any($1)
		and (id = any($2) or not exists (select from {table} t where t.id = s.id))`

// giveBack gives a table the bridges that backfill saved.
func giveBack(ctx context.Context, l *ledger.Ledger, table string) error {
	return undo.GiveBack(ctx, l, undo.Values{
		Table: table, Column: "operation_run_id",
		Count: countBridges, Next: nextBridges, Write: restoreBridges, Forget: forgetBridges,
	})
}
