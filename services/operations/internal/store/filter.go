package store

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// query collects the parameters of a statement that is composed of fixed fragments.
// Values of a caller become parameters, never SQL. $1 is the workspace.
type query struct{ args []any }

// arg adds a parameter and returns it in SQL, for example "$2".
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// condition is one part of a filter, for example "tenant_id = 7", as conditions in SQL
// on a run r.
type condition struct {
	holds string   // is true for the runs that match
	index []string // if an index contains the runs that match: the ranges of it to read
	label bool     // that index is the one of labels, b
	ended bool     // that index contains only completed runs
}

// indexed returns a condition with an index of all runs that match.
func indexed(holds string) condition { return condition{holds: holds, index: []string{holds}} }

// indexedOnceEnded returns a condition with an index of the completed runs that match.
// Nearly every run has such a value, a tenant for example. An index of active runs, too,
// would be written at each of their moves; this one is written once.
func indexedOnceEnded(holds string) condition {
	return condition{holds: holds, index: []string{isCompleted + " and " + holds}, ended: true}
}

// conditions returns the conditions of f without its bounds on times. Conditions that
// few runs meet come first.
func conditions(q *query, f run.Filter) []condition {
	cs := rare(q, f)
	if f.Status == run.Queued || f.Status == run.Running {
		cs = append(cs, ofStatus(f.Status))
	}
	if f.Outcome != "" {
		cs = append(cs, ofOutcome(f.Outcome))
	}
	if f.HasFailures != nil {
		cs = append(cs, withFailures(*f.HasFailures))
	}
	cs = append(cs, common(q, f)...)
	if f.Status == run.Completed {
		cs = append(cs, ofStatus(f.Status))
	}
	return cs
}

// rare returns the conditions of f that usually a handful of runs meet.
func rare(q *query, f run.Filter) []condition {
	var cs []condition
	if f.TraceID != "" {
		cs = append(cs, indexedOnceEnded("r.traceparent <> '' and substr(r.traceparent, 4, 32) = "+q.arg(f.TraceID)))
	}
	if f.RetryOf != 0 {
		cs = append(cs, indexed("r.retry_of = "+q.arg(f.RetryOf)))
	}
	if f.LegacyID != "" {
		cs = append(cs, indexed("r.origin = 'legacy' and r.context -> 'legacy' ->> 'id' = "+q.arg(f.LegacyID)))
	}
	if f.ParentRunID != 0 {
		cs = append(cs, indexed("r.parent_run_id = "+q.arg(f.ParentRunID)))
	}
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		cs = append(cs, labelled(q, key, f.Labels[key]))
	}
	if f.ReasonCode != "" {
		cs = append(cs, labelled(q, "run.reason_code", f.ReasonCode))
	}
	return cs
}

// common returns the conditions of f that many runs may meet.
func common(q *query, f run.Filter) []condition {
	var cs []condition
	if f.UserID != 0 {
		cs = append(cs, indexed("r.user_id = "+q.arg(f.UserID)))
	}
	if f.LegacySource != "" {
		cs = append(cs, indexed("r.origin = 'legacy' and r.context -> 'legacy' ->> 'source' = "+q.arg(f.LegacySource)))
	}
	if f.TenantID != 0 {
		cs = append(cs, indexedOnceEnded("r.tenant_id = "+q.arg(f.TenantID)))
	}
	if f.InitiatorName != "" {
		cs = append(cs, indexedOnceEnded("r.initiator_name = "+q.arg(f.InitiatorName)))
	}
	if f.Type != "" {
		cs = append(cs, indexedOnceEnded("r.type = "+q.arg(f.Type)))
	}
	return cs
}

// These must be constants: the planner does not compare a parameter with the predicate
// of an index.
const (
	isQueued    = "r.status = 'queued'"
	isRunning   = "r.status = 'running'"
	isCompleted = "r.status = 'completed'"
)

func ofStatus(s run.Status) condition {
	switch s {
	case run.Queued:
		return indexed(isQueued)
	case run.Running:
		return indexed(isRunning)
	default:
		return condition{holds: isCompleted, index: []string{isCompleted}, ended: true}
	}
}

// Most completed runs have succeeded, so that outcome has no index: walking all completed
// runs finds them as fast. The same goes for runs without failures.
func ofOutcome(o run.Outcome) condition {
	switch o {
	case run.Pending:
		return condition{holds: "r.status <> 'completed'", index: []string{isQueued, isRunning}}
	case run.PartiallySucceeded:
		return indexed("r.outcome = 'partially_succeeded'")
	case run.Failed:
		return indexed("r.outcome = 'failed'")
	case run.Cancelled:
		return indexed("r.outcome = 'cancelled'")
	default:
		return condition{holds: "r.outcome = 'succeeded'"}
	}
}

func withFailures(any bool) condition {
	if any {
		return indexed("r.failure_summary <> '[]'")
	}
	return condition{holds: "r.failure_summary = '[]'"}
}

func labelled(q *query, key, value string) condition {
	is := "b.key = " + q.arg(key) + " and b.value = " + q.arg(value)
	return condition{
		holds: "exists (select from run_label b where b.run_id = r.id and " + is + " offset 0)", // by run id, so the workspace is not needed
		index: []string{is},
		label: true,
	}
}

// momentColumn is the column of a moment.
var momentColumn = map[run.Moment]string{
	run.CreateTime: "r.created_at", run.StartTime: "r.started_at", run.CompleteTime: "r.completed_at",
}

// within returns the bound b of column in SQL.
func within(q *query, column string, b run.Bound) string {
	return column + " " + string(b.Comparison) + " " + q.arg(b.At)
}

// all returns the conjunction of conditions in SQL.
func all(conditions []string) string {
	if len(conditions) == 0 {
		return "true"
	}
	return strings.Join(conditions, " and ")
}
