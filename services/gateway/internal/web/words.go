package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web/templates"
)

// reasonWord returns the word for why a run failed, as filters take it. Runs that
// were imported may have words of their own.
func reasonWord(f *operationsv1.Failure) string {
	if f.GetReason() == operationsv1.FailureReason_FAILURE_REASON_OTHER {
		return f.GetOtherReason()
	}
	return strings.ToLower(errs.Word(f.GetReason()))
}

// badgeOf is a run's state in one word.
func badgeOf(run *operationsv1.Run) templates.Badge {
	switch run.GetStatus() {
	case operationsv1.RunStatus_RUN_STATUS_QUEUED:
		return templates.Badge{Tone: "waiting", Icon: "clock", Word: "Queued"}
	case operationsv1.RunStatus_RUN_STATUS_RUNNING:
		if run.GetCancelRequestTime() != nil {
			return templates.Badge{Tone: "active", Icon: "stop", Word: "Cancelling"}
		}
		return templates.Badge{Tone: "active", Icon: "run", Word: "Running"}
	}
	return outcomeBadge(run.GetOutcome())
}

func outcomeBadge(o operationsv1.RunOutcome) templates.Badge {
	switch o {
	case operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED:
		return templates.Badge{Tone: "good", Icon: "check", Word: "Succeeded"}
	case operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED:
		return templates.Badge{Tone: "part", Icon: "part", Word: "Partly succeeded"}
	case operationsv1.RunOutcome_RUN_OUTCOME_FAILED:
		return templates.Badge{Tone: "bad", Icon: "cross", Word: "Failed"}
	case operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED:
		return templates.Badge{Tone: "waiting", Icon: "stop", Word: "Cancelled"}
	}
	return templates.Badge{Tone: "waiting", Icon: "dot", Word: "Unknown"}
}

// progressOf reads "processed" of "total" out of a run's counters; while it is
// active a total that is not known yet makes a bar without an end.
func progressOf(run *operationsv1.Run) templates.Progress {
	counts := run.GetSummaryCounts()
	done, hasDone := counts["processed"]
	total, hasTotal := counts["total"]
	p := templates.Progress{Done: done, Total: total, Known: hasTotal && total > 0}
	switch {
	case p.Known && !hasDone && !active(run): // of an imported run only the total is known
		p.Words = templates.Number(total) + " in all"
	case p.Known:
		p.Done = min(done, total)
		p.Words = fmt.Sprintf("%s of %s · %d %%", templates.Number(done), templates.Number(total), p.Done*100/total)
	case hasDone:
		p.Words = templates.Number(done) + " so far"
		if !active(run) {
			p.Words = templates.Number(done)
		}
	case run.GetStatus() == operationsv1.RunStatus_RUN_STATUS_QUEUED:
		p.Words = "waiting for a worker"
	case active(run):
		p.Words = "starting"
	}
	return p
}

func active(run *operationsv1.Run) bool {
	return run.GetStatus() != operationsv1.RunStatus_RUN_STATUS_COMPLETED
}

// countersOf lists a run's counters, those every job has first. "x_done" of
// "x_total" is one of them.
func countersOf(run *operationsv1.Run) []templates.Counter {
	counts := run.GetSummaryCounts()
	var counters []templates.Counter
	for _, name := range counterNames(counts) {
		c := templates.Counter{Name: strings.ReplaceAll(name, "_", " "), Value: templates.Number(counts[name])}
		if what, ok := strings.CutSuffix(name, "_done"); ok {
			if total, ok := counts[what+"_total"]; ok {
				c.Name, c.Value = strings.ReplaceAll(what, "_", " "), c.Value+" of "+templates.Number(total)
			}
		}
		if name == "failed" && counts[name] > 0 {
			c.Tone = "bad"
		}
		counters = append(counters, c)
	}
	return counters
}

func counterNames(counts map[string]int64) []string {
	first := []string{"created", "updated", "unchanged", "removed", "skipped", "failed"}
	names := slices.DeleteFunc(slices.Clone(first), func(name string) bool { _, ok := counts[name]; return !ok })
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		what, isTotal := strings.CutSuffix(name, "_total")
		_, hasDone := counts[what+"_done"]
		said := name == "total" || name == "processed" || isTotal && hasDone // by the bar, or beside what is done
		if !said && !slices.Contains(first, name) {
			names = append(names, name)
		}
	}
	return names
}

// durationOf is how long a run took, or has taken so far.
func durationOf(run *operationsv1.Run, now time.Time) string {
	if run.GetStartTime() == nil {
		return ""
	}
	if end := run.GetCompleteTime(); end != nil {
		now = end.AsTime()
	}
	return templates.Span(max(0, now.Sub(run.GetStartTime().AsTime())))
}

// attemptOf says which delivery this is, once there was more than the plan. Those
// of an imported run nobody counted.
func attemptOf(run *operationsv1.Run) string {
	if imported(run) {
		return ""
	}
	if run.GetMaxAttempts() == 0 {
		return id(int64(run.GetAttempt()))
	}
	return fmt.Sprintf("%d of %d", run.GetAttempt(), run.GetMaxAttempts())
}

func momentOf(t *timestamppb.Timestamp, now time.Time) templates.Moment {
	if t == nil {
		return templates.Moment{}
	}
	return templates.MomentOf(t.AsTime(), now)
}

// eventOf is a transition as a line of the timeline.
func eventOf(e *operationsv1.RunEvent, now time.Time) templates.Event {
	v := templates.Event{Anchor: fmt.Sprintf("e%d", e.GetSequence()), Actor: e.GetActor(), When: momentOf(e.GetEventTime(), now)}
	switch e.GetKind() {
	case "created":
		v.Words, v.Icon = "Created", "plus"
	case "begun":
		v.Words, v.Icon, v.Tone = fmt.Sprintf("Attempt %d begun", e.GetAttempt()), "run", "active"
	case "requeued":
		v.Words, v.Icon, v.Tone = "Queued again: its worker went silent", "clock", "part"
	case "released":
		v.Words, v.Icon = "Given back by its worker", "clock"
	case "cancel_requested":
		v.Words, v.Icon = "Cancellation asked for", "stop"
	case "late_completion_rejected":
		v.Words, v.Icon, v.Tone = "A late result was refused", "part", "part"
	case "completed":
		b := outcomeBadge(e.GetOutcome())
		v.Words, v.Icon, v.Tone = "Ended: "+strings.ToLower(b.Word), b.Icon, b.Tone
	default:
		v.Words, v.Icon = strings.ReplaceAll(e.GetKind(), "_", " "), "dot"
	}
	if reason := e.GetDetail().GetFields()["reason"].GetStringValue(); reason != "" {
		v.Detail = reason
	}
	if e.GetDetail().GetFields()["imported"].GetBoolValue() {
		v.Detail = "Known from the import. What came before was not recorded."
	}
	return v
}
