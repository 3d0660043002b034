package store

import (
	"maps"
	"slices"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// filterRuns adds what f asks for: fixed fragments with parameters, nothing of
// the caller's text.
func filterRuns(q *query, f run.Filter) {
	for _, c := range []struct {
		column string
		value  any
		asked  bool
	}{
		{"r.status", f.Status, f.Status != ""},
		{"r.outcome", f.Outcome, f.Outcome != ""},
		{"r.type", f.Type, f.Type != ""},
		{"r.tenant_id", f.TenantID, f.TenantID != 0},
		{"r.user_id", f.UserID, f.UserID != 0},
		{"r.retry_of", f.RetryOf, f.RetryOf != 0},
		{"r.parent_run_id", f.ParentRunID, f.ParentRunID != 0},
	} {
		if c.asked {
			q.add(c.column + " = " + q.arg(c.value))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		q.add("exists (select 1 from run_label b where b.run_id = r.id and b.workspace_id = $1 and b.key = " +
			q.arg(key) + " and b.value = " + q.arg(f.Labels[key]) + ")")
	}
}
