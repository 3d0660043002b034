package legacy

import (
	"context"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// SyncRuns is the table that findings and inventory items refer to.
const SyncRuns = "inventory_sync_runs"

// Reference is a column Old that holds the id of a row of inventory_sync_runs, and the
// column New that holds the id of its run instead.
type Reference struct{ Table, Old, New string }

// References are all of them.
var References = []Reference{
	{Table: "findings", Old: "baseline_run_id", New: "baseline_operation_run_id"},
	{Table: "findings", Old: "current_run_id", New: "current_operation_run_id"},
	{Table: "inventory_items", Old: "last_seen_run_id", New: "last_seen_operation_run_id"},
}

// ReferringTables are the tables with references.
var ReferringTables = []string{"findings", "inventory_items"}

func (r Reference) String() string { return r.Table + "." + r.Old }

// In puts the names of r into a statement: {table}, {old}, {new}.
func (r Reference) In(sql string) string {
	return strings.NewReplacer("{table}", r.Table, "{old}", r.Old, "{new}", r.New).Replace(sql)
}

// Columns says which columns of a reference exist.
type Columns struct{ Old, New bool }

// ColumnsOf looks which columns of a reference exist.
func ColumnsOf(ctx context.Context, q query.Row, ref Reference) (c Columns, err error) {
	if c.Old, err = query.HasColumn(ctx, q, ref.Table, ref.Old); err != nil {
		return c, err
	}
	c.New, err = query.HasColumn(ctx, q, ref.Table, ref.New)
	return c, err
}
