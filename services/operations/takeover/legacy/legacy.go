// Package legacy is the database of an older TenantPilot: its tables and columns, and
// the views that say what each row becomes. It writes nothing but those views.
package legacy

import "strings"

// CanonicalRuns is the legacy table of runs that are canonical already.
const CanonicalRuns = "operation_runs"

// Sources are the legacy tables whose rows become runs. Canonical runs come first: rows
// of the other tables may be linked to one.
var Sources = append([]string{CanonicalRuns}, Bridged...)

// Bridged are the tables whose rows may name their run, in the bridge column
// operation_run_id.
var Bridged = []string{"inventory_sync_runs", "entra_group_sync_runs", "backup_schedule_runs", "restore_runs"}

// In puts the name of a source into a statement, for {source}.
func In(source, sql string) string { return strings.ReplaceAll(sql, "{source}", source) }

// Archive is given instead of a type for runs that stay behind.
const Archive = "archive"

// RenamedKeys are search keys that older contexts hold under another name. There,
// baseline_run_id and current_run_id are ids of inventory_sync_runs, not of runs.
var RenamedKeys = map[string]string{"baseline_run_id": "baseline_operation_run_id", "current_run_id": "current_operation_run_id"}

// RunTable is what the tool must know of a legacy table of runs to count in it.
type RunTable struct {
	Name      string
	Canonical string // the type its rows become; empty: each has its own
	Ended     string // column with the end
	User      string // column that refers to users; empty: none
	Wizard    bool   // rows in the wizard's states are no runs
	Documents []Document
}

// Document is a column with JSON in it.
type Document struct {
	Column string
	Shapes []string // the json_typeof results that are allowed
	Text   bool     // kept as text, which may hold what jsonb cannot
}

var RunTables = []RunTable{
	{
		Name: "inventory_sync_runs", Canonical: "inventory_sync", Ended: "finished_at", User: "user_id",
		Documents: []Document{
			{Column: "error_codes", Shapes: []string{"array"}},
			{Column: "selection_payload", Shapes: []string{"object", "array"}},
			{Column: "error_context", Shapes: []string{"object", "array"}},
		},
	},
	{
		Name: "entra_group_sync_runs", Canonical: "entra_group_sync", Ended: "finished_at", User: "initiator_user_id",
	},
	{
		Name: "backup_schedule_runs", Canonical: "backup_schedule_run", Ended: "finished_at", User: "user_id",
		Documents: []Document{{Column: "summary", Shapes: []string{"object"}, Text: true}},
	},
	{
		Name: "restore_runs", Canonical: "restore_execute", Ended: "completed_at", Wizard: true,
		Documents: []Document{{Column: "results", Shapes: []string{"object", "array"}, Text: true}},
	},
	{
		Name: CanonicalRuns, Ended: "completed_at", User: "user_id",
		Documents: []Document{
			{Column: "summary_counts", Shapes: []string{"object"}},
			{Column: "failure_summary", Shapes: []string{"array"}},
			{Column: "context", Shapes: []string{"object"}},
		},
	},
}

// In puts the names of t into a statement: {table}, {ended}, {user}.
func (t RunTable) In(sql string) string {
	return strings.NewReplacer("{table}", t.Name, "{ended}", t.Ended, "{user}", t.User).Replace(sql)
}
