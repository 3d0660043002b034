package store

import (
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// A list may be ordered by one time and filtered by another, for example ordered by
// creation, of runs that completed after 12:00. No index has both times. But nearly every
// run is usual: its times are in order, and at most an hour lies between its creation
// and its last time. A usual run that completed after 12:00 was created after 11:00:
//
//	created    10:00       11:00       12:00       13:00
//	             │           ├──── window of usual runs ────►  read all of them
//	             │◄── before ┤
//	             only unusual runs, by their own index         read these, too
//
// The unusual ones, such as a run that took three hours, are few and have an index of
// their own ([isUnusual]). So the list reads the index of creation within the window,
// and the index of unusual runs outside of it.
const (
	usual     = time.Hour
	isUnusual = "(r.started_at < r.created_at or r.completed_at < r.created_at or r.completed_at < r.started_at" +
		" or coalesce(r.completed_at, r.started_at) - r.created_at > interval '1 hour')"
)

// moments are the times of a usual run in their order.
var moments = map[run.Moment]int{run.CreateTime: 1, run.StartTime: 2, run.CompleteTime: 3}

// window is a range of times, its ends included; nil means that it has no end.
type window struct{ from, until *time.Time }

// windowOf returns the window of the time by in which all usual runs within bounds are.
func windowOf(by run.Moment, bounds []run.Bound) window {
	var w window
	for _, b := range bounds {
		if b.Moment == by {
			continue // the list does not read what is outside of this bound
		}
		from, until := b.At, b.At
		if moments[by] < moments[b.Moment] {
			from = from.Add(-usual)
		} else {
			until = until.Add(usual)
		}
		if b.Comparison != run.Before && b.Comparison != run.Until && (w.from == nil || from.After(*w.from)) {
			w.from = &from
		}
		if b.Comparison != run.After && b.Comparison != run.NotUntil && (w.until == nil || until.Before(*w.until)) {
			w.until = &until
		}
	}
	if w.from != nil && w.until != nil && w.until.Before(*w.from) {
		w.until = w.from // no usual run is within bounds; but the ranges before and after must not overlap
	}
	return w
}

// keepTo limits the ranges of w to part, and adds ranges of the unusual runs outside of it.
func (w *walk) keepTo(q *query, part window) {
	var within string
	var outside []string
	if part.from != nil {
		from := q.arg(*part.from)
		within += " and " + w.at + " >= " + from
		outside = append(outside, w.unusual+" and "+w.at+" < "+from)
	}
	if part.until != nil {
		until := q.arg(*part.until)
		within += " and " + w.at + " <= " + until
		outside = append(outside, w.unusual+" and "+w.at+" > "+until)
	}
	for i := range w.ranges {
		w.ranges[i] += within
	}
	w.ranges = append(w.ranges, outside...)
}
