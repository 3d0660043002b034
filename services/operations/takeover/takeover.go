// Package takeover moves an older TenantPilot's four legacy run tables into the canonical
// store, in stages that an operator starts one by one. Each stage shows first what it would
// do, may be killed at any instant and started again, and leaves a report. Only this module
// knows legacy names, and no service uses it.
//
//	            command line (this package)
//	analyse  adopt  backfill  verify  repoint  drop  rollback      the stages
//	            transfer  undo  mapping                            what several stages do
//	            ledger  legacy  report  query                      the core
//
// A stage imports what is below it, and no other stage.
package takeover

import (
	"context"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/backfill"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/drop"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/repoint"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/rollback"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/verify"
)

// Undoing is how rollback undoes the stages, from the last to the first. Analyse leaves
// nothing but the schema of the takeover, which rollback removes itself.
var Undoing = []rollback.Step{
	{Stage: "drop", Undo: drop.Undo},
	{Stage: "repoint", Undo: repoint.Undo},
	{Stage: "verify", Undo: verify.Undo},
	{Stage: "backfill", Undo: backfill.Undo},
	{Stage: "adopt", Undo: adopt.Undo},
	{Stage: "analyse", Undo: func(context.Context, *ledger.Ledger, *report.Report) error { return nil }},
}
