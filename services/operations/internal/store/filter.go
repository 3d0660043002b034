package store

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// query is a statement under construction: fixed fragments and their
// parameters, nothing of the caller's text. $1 is the workspace.
type query struct{ args []any }

func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// condition is one thing a filter asks of a run r.
type condition struct {
	holds string   // true of the runs that match
	index []string // the same as an index of its own knows it: one range of it each; none without
	label bool     // the index is the one of labels, b
	ended bool     // the index has completed runs only
}

// indexed is a condition with an index of all runs that match.
func indexed(holds string) condition { return condition{holds: holds, index: []string{holds}} }

// indexedOnceEnded is a condition with an index of the completed runs that match:
// what nearly every run has is written there once, not at each of its moves.
func indexedOnceEnded(holds string) condition {
	return condition{holds: holds, index: []string{isCompleted + " and " + holds}, ended: true}
}

// conditions answers what f asks but for its bounds, those that few runs meet first.
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

// rare are the conditions that a handful of runs meet, usually.
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

// common are the conditions that many runs may meet.
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

// The planner recognises the predicate of an index in words only, never in parameters.
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

// Most runs that ended succeeded, without failures: they are found among all that ended.
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
		holds: "exists (select from run_label b where b.run_id = r.id and " + is + " offset 0)", // no workspace: by its run
		index: []string{is},
		label: true,
	}
}

// momentColumn is the column of a moment.
var momentColumn = map[run.Moment]string{
	run.CreateTime: "r.created_at", run.StartTime: "r.started_at", run.CompleteTime: "r.completed_at",
}

func within(q *query, column string, b run.Bound) string {
	return column + " " + string(b.Comparison) + " " + q.arg(b.At)
}

func all(conditions []string) string {
	if len(conditions) == 0 {
		return "true"
	}
	return strings.Join(conditions, " and ")
}
