package run

import (
	"slices"
	"time"
)

// Filter selects runs of a list. A zero field selects all.
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
	ReasonCode    string            // of at least one of the run's failures
	HasFailures   *bool             // whether the run has any
	Labels        map[string]string // context search keys and their values
	Bounds        []Bound
}

// Bound selects runs by a time, for example "complete_time > At". It does not select runs
// that do not have that time yet.
type Bound struct {
	Moment     Moment
	Comparison Comparison
	At         time.Time
}

// Moment names one of a run's times.
type Moment string

// The moments, by their names in requests.
const (
	CreateTime   Moment = "create_time"
	StartTime    Moment = "start_time"
	CompleteTime Moment = "complete_time"
)

// Comparison is how a moment compares with a time.
type Comparison string

// The comparisons.
const (
	At       Comparison = "="
	Before   Comparison = "<"
	Until    Comparison = "<="
	After    Comparison = ">"
	NotUntil Comparison = ">="
)

// Order is the order of a list: by creation or by completion. A list by completion has
// only completed runs.
type Order struct {
	By        Moment
	Ascending bool
}

// Ended reports whether f selects only completed runs.
func (f Filter) Ended() bool {
	return f.Status == Completed || f.Outcome.Final() ||
		slices.ContainsFunc(f.Bounds, func(b Bound) bool { return b.Moment == CompleteTime })
}

// Contradicts reports whether no run can match f in a list ordered by o.
func (f Filter) Contradicts(o Order) bool {
	active := f.Status == Queued || f.Status == Running || f.Outcome == Pending
	return active && (o.By == CompleteTime || f.Ended())
}
