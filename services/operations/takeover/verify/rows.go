package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/mapping"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// An infinite time becomes one that Go can hold.
const readDecisions = `-- takeover.readDecisions
	select k.timezone, case when k.stale_before = 'infinity' then '9999-12-31' when isfinite(k.stale_before) then k.stale_before end,
		k.created_at, b.base, c.base, c.last_legacy_id
	from tenantpilot_takeover.takeover k
	join tenantpilot_takeover.run_block b on b.source = $1
	join tenantpilot_takeover.run_block c on c.source = 'operation_runs'`

// decisions returns what was decided for the rows of a source.
func decisions(ctx context.Context, q query.Rows, source string) (d mapping.Takeover, err error) {
	rows, err := q.Query(ctx, readDecisions, source)
	if err != nil {
		return d, err
	}
	return pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (mapping.Takeover, error) {
		var stale *time.Time
		err := row.Scan(&d.Zone, &stale, &d.Began, &d.Base, &d.RunBase, &d.LastRun)
		if stale != nil {
			d.StaleBefore = *stale
		}
		return d, err
	})
}

// expectedRuns returns the runs that package mapping makes of the rows ids of a source,
// ordered by id, without rows that become no run.
func expectedRuns(ctx context.Context, q query.Rows, source string, ids []int64) ([]mapping.Run, error) {
	d, err := decisions(ctx, q, source)
	if err != nil {
		return nil, fmt.Errorf("read what was decided: %w", err)
	}
	rows, err := q.Query(ctx, readRows[source], ids)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (mapping.Run, error) { return expected(row, source, d) })
	if err != nil {
		return nil, err
	}
	runs := all[:0]
	for _, r := range all {
		if r.Type != "" {
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// readRows reads the columns that package mapping needs, by source.
var readRows = map[string]string{
	"inventory_sync_runs": `-- takeover.readInventorySyncs
	select id, status, workspace_id, new_tenant_id, new_user_id, user_name, started_at, finished_at, created_at, updated_at,
		selection_hash, selection_payload, error_codes, items_observed_count, items_upserted_count, errors_count
	from tenantpilot_takeover.row_inventory_sync_runs where id = any($1) order by id`,
	"entra_group_sync_runs": `-- takeover.readGroupSyncs
	select id, status, workspace_id, new_tenant_id, new_user_id, user_name, started_at, finished_at, created_at, updated_at,
		selection_key, slot_key, error_code, error_category, error_summary, safety_stop_triggered, safety_stop_reason,
		pages_fetched, items_observed_count, items_upserted_count, error_count
	from tenantpilot_takeover.row_entra_group_sync_runs where id = any($1) order by id`,
	"backup_schedule_runs": `-- takeover.readScheduleRuns
	select id, status, workspace_id, new_tenant_id, new_user_id, user_name, started_at, finished_at, created_at, updated_at,
		backup_schedule_id, backup_set_id, scheduled_for, summary, error_code, error_message
	from tenantpilot_takeover.row_backup_schedule_runs where id = any($1) order by id`,
	"restore_runs": `-- takeover.readRestores
	select id, status, workspace_id, new_tenant_id, null::bigint, null::text, started_at, finished_at, created_at, updated_at,
		backup_set_id, requested_by, is_dry_run, results, failure_reason, deleted_at
	from tenantpilot_takeover.row_restore_runs where id = any($1) order by id`,
	legacy.CanonicalRuns: `-- takeover.readCanonical
	select id, status, new_workspace_id, new_tenant_id, new_user_id, user_name, started_at, finished_at, created_at, updated_at,
		tenant_id, initiator_name, type, coalesce(canonical, ''), trigger, outcome, run_identity_hash, summary_counts, failure_summary, context
	from tenantpilot_takeover.row_operation_runs where id = any($1) order by id`,
}

func expected(row pgx.CollectableRow, source string, d mapping.Takeover) (mapping.Run, error) {
	var err error
	scan := func(r *mapping.Row, more ...any) {
		err = row.Scan(append([]any{&r.ID, &r.Status, &r.WorkspaceID, &r.TenantID, &r.UserID, &r.UserName,
			&r.StartedAt, &r.FinishedAt, &r.CreatedAt, &r.UpdatedAt}, more...)...)
	}
	switch source {
	case "inventory_sync_runs":
		var r mapping.InventorySync
		scan(&r.Row, &r.SelectionHash, &r.SelectionPayload, &r.ErrorCodes, &r.Observed, &r.Upserted, &r.Errors)
		return r.Map(d), err
	case "entra_group_sync_runs":
		var r mapping.GroupSync
		scan(&r.Row, &r.SelectionKey, &r.SlotKey, &r.ErrorCode, &r.ErrorCategory, &r.ErrorSummary, &r.Stopped, &r.StopReason,
			&r.Pages, &r.Observed, &r.Upserted, &r.Errors)
		return r.Map(d), err
	case "backup_schedule_runs":
		var r mapping.ScheduleRun
		scan(&r.Row, &r.ScheduleID, &r.SetID, &r.ScheduledFor, &r.Summary, &r.ErrorCode, &r.ErrorMessage)
		return r.Map(d), err
	case "restore_runs":
		var r mapping.Restore
		scan(&r.Row, &r.SetID, &r.RequestedBy, &r.DryRun, &r.Results, &r.FailureReason, &r.DeletedAt)
		if !r.Executed() {
			return mapping.Run{}, err
		}
		return r.Map(d), err
	default:
		var r mapping.Canonical
		scan(&r.Row, &r.LegacyTenantID, &r.InitiatorName, &r.LegacyType, &r.Type, &r.Trigger, &r.Outcome, &r.IdentityHash,
			&r.SummaryCounts, &r.FailureSummary, &r.Context)
		return r.Map(d), err
	}
}

const readStored = `-- takeover.readStored
	select id, workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash, summary_counts::text,
		failure_summary::text, context::text, started_at, completed_at, created_at, updated_at
	from operation_runs where id = any($1) and origin = 'legacy' order by id`

// storedRuns returns the imported runs ids of the operations database, ordered by id, to
// compare them with [expectedRuns].
func storedRuns(ctx context.Context, q query.Rows, ids []int64) ([]mapping.Run, error) {
	rows, err := q.Query(ctx, readStored, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (mapping.Run, error) {
		var s mapping.Stored
		var workspace int64
		err := row.Scan(&s.ID, &workspace, &s.TenantID, &s.UserID, &s.InitiatorName, &s.Type, &s.Status, &s.Outcome, &s.IdentityHash,
			&s.Counts, &s.Failures, &s.Text, &s.StartedAt, &s.CompletedAt, &s.CreatedAt, &s.UpdatedAt)
		if err != nil {
			return s.Run, err
		}
		s.WorkspaceID = &workspace
		return s.Decoded()
	})
}
