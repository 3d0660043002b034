package adopt

import (
	"context"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/transfer"
)

const forgetBlocks = `-- takeover.forgetBlocks
	with h as (delete from workspace_hold)
	delete from takeover_block`

const forgetMaps = `-- takeover.forgetMaps
	with w as (delete from tenantpilot_takeover.workspace_map), t as (delete from tenantpilot_takeover.tenant_map),
		u as (delete from tenantpilot_takeover.user_map), y as (delete from tenantpilot_takeover.type_map),
		z as (update tenantpilot_takeover.takeover set timezone = 'UTC')
	delete from tenantpilot_takeover.run_block`

// Undo removes the adopted runs, and everything that was decided about them. What tenancy
// has stays there.
func Undo(ctx context.Context, l *ledger.Ledger, _ *report.Report) error {
	if err := transfer.Remove(ctx, l, legacy.CanonicalRuns); err != nil {
		return err
	}
	if err := l.ForgetPasses(ctx); err != nil {
		return err
	}
	if _, err := l.Legacy.Exec(ctx, forgetMaps); err != nil {
		return err
	}
	_, err := l.Operations.Exec(ctx, forgetBlocks)
	return err
}
