package run

import (
	"slices"
	"time"
)

// Filter narrows a list of runs; a zero field does not.
type Filter struct {
	Status        Status
	Outcome       Outcome
	Type          string
	TenantID      int64
	UserID        int64
	InitiatorName string
	RetryOf       int64
	ParentRunID   int64
	TraceID       string // 32 lower-case hex digits
	LegacySource  string // of imported runs, like LegacyID
	LegacyID      string
	ReasonCode    string            // of one of the run's failures, or more
	HasFailures   *bool             // whether it has any
	Labels        map[string]string // context search keys and their values
	Bounds        []Bound
}

// Bound keeps runs whose moment compares so with At. A run that has not come to
// the moment is not kept.
type Bound struct {
	Moment     Moment
	Comparison Comparison
	At         time.Time
}

// Moment is a time in a run's life.
type Moment string

// The moments lists know, by their names in requests.
const (
	CreateTime   Moment = "create_time"
	StartTime    Moment = "start_time"
	CompleteTime Moment = "complete_time"
)

// Comparison is how a moment relates to a time.
type Comparison string

// The comparisons.
const (
	At       Comparison = "="
	Before   Comparison = "<"
	Until    Comparison = "<="
	After    Comparison = ">"
	NotUntil Comparison = ">="
)

// Order is the order of a list: by creation, or by completion, which leaves out
// runs that have not ended.
type Order struct {
	By        Moment
	Ascending bool
}

// Ended reports whether f keeps completed runs only.
func (f Filter) Ended() bool {
	return f.Status == Completed || f.Outcome.Final() ||
		slices.ContainsFunc(f.Bounds, func(b Bound) bool { return b.Moment == CompleteTime })
}

// Contradicts reports whether no run can match f in a list ordered by o.
func (f Filter) Contradicts(o Order) bool {
	active := f.Status == Queued || f.Status == Running || f.Outcome == Pending
	return active && (o.By == CompleteTime || f.Ended())
}
