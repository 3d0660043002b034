package legacy

import (
	"context"
	"fmt"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// NeededColumns are those without which the tool cannot work, by table.
var NeededColumns = map[string]string{
	"workspaces": "id name",
	"users":      "id name email",
	"tenants":    "id workspace_id name external_id",
	CanonicalRuns: "id workspace_id tenant_id user_id initiator_name type status outcome run_identity_hash summary_counts failure_summary context " +
		"started_at completed_at created_at updated_at",
	"inventory_sync_runs": "id tenant_id selection_hash status error_codes started_at finished_at items_observed_count items_upserted_count " +
		"errors_count operation_run_id created_at updated_at",
	"entra_group_sync_runs": "id tenant_id selection_key slot_key status error_code error_category error_summary safety_stop_triggered safety_stop_reason " +
		"pages_fetched items_observed_count items_upserted_count error_count initiator_user_id started_at finished_at operation_run_id created_at updated_at",
	"backup_schedule_runs": "id backup_schedule_id tenant_id scheduled_for started_at finished_at status summary error_code error_message " +
		"backup_set_id operation_run_id created_at updated_at",
	"restore_runs": "id tenant_id backup_set_id requested_by status results started_at completed_at operation_run_id created_at updated_at",
}

// ReferringColumns are those that repoint takes away.
var ReferringColumns = map[string]string{
	"findings":        "id baseline_run_id current_run_id",
	"inventory_items": "id last_seen_run_id",
}

// LateColumns came with later versions of the older TenantPilot, and count as empty
// where they are missing.
var LateColumns = map[string]string{
	"tenants":              "domain deleted_at",
	"inventory_sync_runs":  "user_id selection_payload error_context",
	"backup_schedule_runs": "user_id",
	"restore_runs":         "is_dry_run failure_reason deleted_at",
}

const missingColumns = `-- takeover.missingColumns
	select w.t, to_regclass(w.t) is null, array_agg(w.c order by w.place)
	from unnest($1::text[], $2::text[]) with ordinality w(t, c, place)
	where not exists (select from pg_attribute a
		where a.attrelid = to_regclass(w.t) and a.attname = w.c and a.attnum > 0 and not a.attisdropped)
	group by 1, 2 order by 1`

// Gap is what a legacy database lacks.
type Gap struct {
	Table   string
	All     bool // the whole table
	Columns []string
}

func (g Gap) String() string {
	if g.All {
		return "table " + g.Table
	}
	return fmt.Sprintf("%s.%s", g.Table, strings.Join(g.Columns, ", ."))
}

// Gaps returns the columns that the database lacks, by table.
func Gaps(ctx context.Context, q query.Rows, columns map[string]string) ([]Gap, error) {
	var tables, names []string
	for table, list := range columns {
		for name := range strings.FieldsSeq(list) {
			tables, names = append(tables, table), append(names, name)
		}
	}
	return query.Collect[Gap](ctx, q, missingColumns, tables, names)
}
