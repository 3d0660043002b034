// Package run is the domain of operations: what a run is and how it may move
// from state to state. It does no I/O; the store asks it before it writes, and
// the statements of the hot path are proven equal to it by a test.
package run

import (
	"encoding/json"
	"time"
)

// Status is where a run is in its life.
type Status string

// The statuses, as stored.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Completed Status = "completed"
)

// Outcome is how a run ended; Pending exactly while it has not.
type Outcome string

// The outcomes, as stored.
const (
	Pending            Outcome = "pending"
	Succeeded          Outcome = "succeeded"
	PartiallySucceeded Outcome = "partially_succeeded"
	Failed             Outcome = "failed"
	Cancelled          Outcome = "cancelled"
)

// Final reports whether o ends a run.
func (o Outcome) Final() bool {
	switch o {
	case Succeeded, PartiallySucceeded, Failed, Cancelled:
		return true
	}
	return false
}

// Origin says where a run was executed.
type Origin string

// The origins, as stored.
const (
	Live   Origin = "live"
	Legacy Origin = "legacy"
)

// Run is one execution of one background job. It doubles as the row.
type Run struct {
	ID            int64
	WorkspaceID   int64
	TenantID      *int64
	UserID        *int64
	InitiatorName string
	Type          string
	Status        Status
	Outcome       Outcome
	IdentityHash  []byte // sha256; see [Identity]
	Counts        map[string]int64
	Failures      []Failure
	Context       json.RawMessage // a JSON object
	StartedAt     *time.Time
	CompletedAt   *time.Time
	CreatedAt     time.Time
	UpdatedAt     time.Time
	QueuedAt      *time.Time
	Epoch         int64  // raised at every begin, requeue and release: the fence
	ReleasedEpoch *int64 // the epoch given back by the last release, while queued
	Lease         *Lease // exactly while running, for live runs
	Cancel        *CancelRequest
	Attempt       int
	MaxAttempts   int
	RetryOf       *int64
	RetryNumber   int
	ParentRunID   *int64
	Traceparent   string
	Origin        Origin
	// CompletionDigest recognises a repeated CompleteRun; nil unless one ended the run.
	CompletionDigest []byte
}

// Lease is a worker's hold on a running run.
type Lease struct {
	Holder    string
	ExpiresAt time.Time // by the database's clock
}

// Copy answers a lease of its own, nil for nil.
func (l *Lease) Copy() *Lease {
	if l == nil {
		return nil
	}
	c := *l
	return &c
}

// Equal reports whether l and o are the same hold until the same time.
func (l *Lease) Equal(o *Lease) bool {
	if l == nil || o == nil {
		return l == o
	}
	return l.Holder == o.Holder && l.ExpiresAt.Equal(o.ExpiresAt)
}

// CancelRequest is the wish to end a running run; recorded once.
type CancelRequest struct {
	At     time.Time
	By     string
	Reason string
}

// Failure is one cause of a run not succeeding; the JSON is what is stored.
type Failure struct {
	Code        string `json:"code"`
	Reason      string `json:"reason_code"`
	Message     string `json:"message"`
	Item        string `json:"item,omitempty"`
	Retryable   bool   `json:"retryable"`
	Remediation string `json:"remediation,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
}

// Event is an accepted transition, to be written with it.
type Event struct {
	Kind   string
	Actor  string // empty: the service that owns the run's type
	Detail map[string]any
}

// The kinds of events.
const (
	EventCreated                = "created"
	EventBegun                  = "begun"
	EventRequeued               = "requeued"
	EventReleased               = "released"
	EventCancelRequested        = "cancel_requested"
	EventCompleted              = "completed"
	EventLateCompletionRejected = "late_completion_rejected"
)

// ReaperName is the actor of what the reaper does.
const ReaperName = "reaper"

// Expired reports whether r's lease has ended at now, by the database's clock.
func (r *Run) Expired(now time.Time) bool {
	return r.Lease == nil || !r.Lease.ExpiresAt.After(now)
}

// end completes r at now, or when it began should the clock have stepped back.
func (r *Run) end(now time.Time, outcome Outcome, failures ...Failure) {
	if now.Before(r.CreatedAt) {
		now = r.CreatedAt
	}
	if r.StartedAt != nil && now.Before(*r.StartedAt) {
		now = *r.StartedAt
	}
	r.Status, r.Outcome = Completed, outcome
	r.CompletedAt = &now
	r.Lease, r.ReleasedEpoch = nil, nil
	r.Failures = append(r.Failures, failures...)
}

// requeue puts r back into the queue at now under the next epoch.
func (r *Run) requeue(now time.Time) {
	r.Status = Queued
	r.QueuedAt = &now
	r.Epoch++
	r.Lease, r.ReleasedEpoch = nil, nil
}
