package mapping

import (
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// outcomes maps statuses of all sources to outcomes.
var outcomes = map[string]run.Outcome{
	"success": run.Succeeded, "succeeded": run.Succeeded, "completed": run.Succeeded,
	"failed": run.Failed, "aborted": run.Failed,
	"partial": run.PartiallySucceeded, "partiallysucceeded": run.PartiallySucceeded, "completedwitherrors": run.PartiallySucceeded,
	"skipped": run.Cancelled, "canceled": run.Cancelled, "cancelled": run.Cancelled,
	"running": run.Pending, "pending": run.Pending, "queued": run.Pending,
}

// wizard are the states of a restore before somebody asks to execute it.
var wizard = map[string]bool{"draft": true, "scoped": true, "checked": true, "previewed": true, "pending": true}

// word returns a status in the form in which statuses are compared.
func word(status *string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '_' || r == '-':
			return -1
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, text(status))
}

// life is the state of a run, with its times.
type life struct {
	status    run.Status
	outcome   run.Outcome
	completed *time.Time
	created   time.Time
	updated   time.Time
	givenUp   bool
	notes     []string
}

// life returns the state of r with a status word, and the times that r lacks.
func (t Takeover) life(r Row, word string) life {
	outcome, known := outcomes[word]
	l := life{created: *first(r.CreatedAt, r.StartedAt, r.UpdatedAt, r.FinishedAt, &t.Began)}
	l.updated = *first(r.UpdatedAt, r.FinishedAt, r.StartedAt, &l.created)
	if r.CreatedAt == nil {
		l.notes = append(l.notes, "created_at_missing")
	}
	switch {
	case !known:
		l.notes, outcome = append(l.notes, "unknown_status"), run.Failed
	case outcome == run.Pending && first(r.UpdatedAt, r.StartedAt, &l.created).Before(t.StaleBefore):
		l.notes, outcome, l.givenUp = append(l.notes, "given_up_as_stale"), run.Failed, true
	}
	l.end(r, word, outcome)
	return l
}

func (l *life) end(r Row, word string, outcome run.Outcome) {
	l.outcome, l.status = outcome, run.Completed
	switch {
	case outcome == run.Pending && word == "running":
		l.status = run.Running
		return
	case outcome == run.Pending:
		l.status = run.Queued
		return
	case r.FinishedAt == nil && r.UpdatedAt == nil:
		l.notes = append(l.notes, "completed_at_from_created_at")
	case r.FinishedAt == nil:
		l.notes = append(l.notes, "completed_at_from_updated_at")
	}
	l.completed = first(r.FinishedAt, r.UpdatedAt, &l.created)
}

// first returns a copy of the first time that is not nil.
func first(times ...*time.Time) *time.Time {
	for _, t := range times {
		if t != nil {
			c := *t
			return &c
		}
	}
	return nil
}
