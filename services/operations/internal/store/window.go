package store

import (
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// usual is what lies between the creation and the last moment of a usual run, at
// most; and its moments are in order. So a bound of one moment says where usual
// runs are in the order of another. The others have indexes of their own.
const (
	usual     = time.Hour
	isUnusual = "(r.started_at < r.created_at or r.completed_at < r.created_at or r.completed_at < r.started_at" +
		" or coalesce(r.completed_at, r.started_at) - r.created_at > interval '1 hour')"
)

// moments in the order in which a usual run comes to them.
var moments = map[run.Moment]int{run.CreateTime: 1, run.StartTime: 2, run.CompleteTime: 3}

// window is a part of a list's order, its ends included; nil is no end.
type window struct{ from, until *time.Time }

// windowOf answers where, in the order of by, the usual runs within bounds are.
func windowOf(by run.Moment, bounds []run.Bound) window {
	var w window
	for _, b := range bounds {
		if b.Moment == by {
			continue // the walk itself keeps to it
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
		w.until = w.from // no usual run is within bounds; the parts before and after must not overlap
	}
	return w
}

// keepTo makes w read all runs within part, and beyond it only the others.
func (w *walk) keepTo(q *query, part window) {
	var within string
	var beyond []string
	if part.from != nil {
		from := q.arg(*part.from)
		within += " and " + w.at + " >= " + from
		beyond = append(beyond, w.others+" and "+w.at+" < "+from)
	}
	if part.until != nil {
		until := q.arg(*part.until)
		within += " and " + w.at + " <= " + until
		beyond = append(beyond, w.others+" and "+w.at+" > "+until)
	}
	for i := range w.ranges {
		w.ranges[i] += within
	}
	w.ranges = append(w.ranges, beyond...)
}
