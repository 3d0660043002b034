// Package words puts what the services say into words for people: the state of a
// run, its progress, its events, times and numbers. It is not the pages that show
// these words, and it calls no service.
package words

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Badge is a state as an icon and a word. Tone is its colour, which says nothing more.
type Badge struct{ Tone, Icon, Word string }

// Progress is how far a run is.
type Progress struct {
	Done, Total int64
	Known       bool // whether Total is known
	Words       string
}

// Counter is one number of a run.
type Counter struct{ Name, Value, Tone string }

// BadgeOf returns the state of a run in one word.
func BadgeOf(run *operationsv1.Run) Badge {
	switch run.GetStatus() {
	case operationsv1.RunStatus_RUN_STATUS_QUEUED:
		return Badge{Tone: "waiting", Icon: "clock", Word: "Queued"}
	case operationsv1.RunStatus_RUN_STATUS_RUNNING:
		if run.GetCancelRequestTime() != nil {
			return Badge{Tone: "active", Icon: "stop", Word: "Cancelling"}
		}
		return Badge{Tone: "active", Icon: "run", Word: "Running"}
	}
	return outcomeBadge(run.GetOutcome())
}

func outcomeBadge(o operationsv1.RunOutcome) Badge {
	switch o {
	case operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED:
		return Badge{Tone: "good", Icon: "check", Word: "Succeeded"}
	case operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED:
		return Badge{Tone: "part", Icon: "part", Word: "Partly succeeded"}
	case operationsv1.RunOutcome_RUN_OUTCOME_FAILED:
		return Badge{Tone: "bad", Icon: "cross", Word: "Failed"}
	case operationsv1.RunOutcome_RUN_OUTCOME_CANCELLED:
		return Badge{Tone: "waiting", Icon: "stop", Word: "Cancelled"}
	}
	return Badge{Tone: "waiting", Icon: "dot", Word: "Unknown"}
}

// ProgressOf returns how far a run is, by its counters "processed" and "total". While a
// run does not know its total, the bar has no end.
func ProgressOf(run *operationsv1.Run) Progress {
	counts := run.GetSummaryCounts()
	done, hasDone := counts["processed"]
	total, hasTotal := counts["total"]
	p := Progress{Done: done, Total: total, Known: hasTotal && total > 0}
	switch {
	case p.Known && !hasDone && !Active(run): // of an imported run only the total is known
		p.Words = Number(total) + " in all"
	case p.Known:
		p.Done = min(done, total)
		p.Words = fmt.Sprintf("%s of %s · %d %%", Number(done), Number(total), p.Done*100/total)
	case hasDone:
		p.Words = Number(done) + " so far"
		if !Active(run) {
			p.Words = Number(done)
		}
	case run.GetStatus() == operationsv1.RunStatus_RUN_STATUS_QUEUED:
		p.Words = "waiting for a worker"
	case Active(run):
		p.Words = "starting"
	}
	return p
}

func Active(run *operationsv1.Run) bool {
	return run.GetStatus() != operationsv1.RunStatus_RUN_STATUS_COMPLETED
}

// CountersOf returns the counters of a run, first those that most types have. The pair
// "types_done" and "types_total" becomes one counter: types, 3 of 11.
func CountersOf(run *operationsv1.Run) []Counter {
	counts := run.GetSummaryCounts()
	var counters []Counter
	for _, name := range counterNames(counts) {
		c := Counter{Name: strings.ReplaceAll(name, "_", " "), Value: Number(counts[name])}
		if what, ok := strings.CutSuffix(name, "_done"); ok {
			if total, ok := counts[what+"_total"]; ok {
				c.Name, c.Value = strings.ReplaceAll(what, "_", " "), c.Value+" of "+Number(total)
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
		elsewhere := name == "total" || name == "processed" || isTotal && hasDone // in the bar, or in another counter
		if !elsewhere && !slices.Contains(first, name) {
			names = append(names, name)
		}
	}
	return names
}

// DurationOf returns how long a run took, or how long it has been running.
func DurationOf(run *operationsv1.Run, now time.Time) string {
	if run.GetStartTime() == nil {
		return ""
	}
	if end := run.GetCompleteTime(); end != nil {
		now = end.AsTime()
	}
	return Span(max(0, now.Sub(run.GetStartTime().AsTime())))
}

// AttemptOf returns which attempt a run is in, for example "1 of 3". It returns "" for an
// imported run, whose attempts nobody counted.
func AttemptOf(run *operationsv1.Run) string {
	if Imported(run) {
		return ""
	}
	if run.GetMaxAttempts() == 0 {
		return ID(int64(run.GetAttempt()))
	}
	return fmt.Sprintf("%d of %d", run.GetAttempt(), run.GetMaxAttempts())
}

// Ahead says how many runs were before a queued one when its page was made.
func Ahead(n int64) string {
	switch n {
	case 0:
		return "When this page was opened, no run was before it in the queue."
	case 1:
		return "When this page was opened, about 1 run was before it in the queue."
	}
	return fmt.Sprintf("When this page was opened, about %d runs were before it in the queue.", n)
}

// Imported reports whether run is history of an older TenantPilot.
func Imported(run *operationsv1.Run) bool {
	return run.GetOrigin() == operationsv1.RunOrigin_RUN_ORIGIN_LEGACY
}

// FailureReason returns why a run failed, as the word that filters use. Imported runs may
// have words of their own.
func FailureReason(f *operationsv1.Failure) string {
	if f.GetReason() == operationsv1.FailureReason_FAILURE_REASON_OTHER {
		return f.GetOtherReason()
	}
	return strings.ToLower(errs.Word(f.GetReason()))
}
