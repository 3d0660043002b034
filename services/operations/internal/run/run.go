// Package run is the domain of operations: what a run is, and how it moves from state to
// state (see docs/run.md). It does no I/O. The store asks it before it writes; the
// statements of the hot path decide in SQL, and a test proves that they decide the same.
package run

import (
	"encoding/json"
	"time"
)

// Status is the state of a run.
type Status string

// The statuses, as stored.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Completed Status = "completed"
)

// Outcome is how a run ended. It is Pending exactly while the run is not completed.
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

// Origin is where a run was executed: here, or in an older TenantPilot.
type Origin string

// The origins, as stored.
const (
	Live   Origin = "live"
	Legacy Origin = "legacy"
)

// Run is one execution of one background job, with the fields of its row.
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
	Epoch         int64  // grows with every begin, requeue and release; calls under an older one are refused
	ReleasedEpoch *int64 // the epoch that the last release ended, while the run is queued
	Lease         *Lease // a live run has one exactly while it is running
	Cancel        *CancelRequest
	Attempt       int
	MaxAttempts   int
	RetryOf       *int64
	RetryNumber   int
	ParentRunID   *int64
	Traceparent   string
	Origin        Origin
	// CompletionDigest recognises a repeated CompleteRun. It is nil unless a CompleteRun
	// ended the run.
	CompletionDigest []byte
}

// Lease is the right of a worker to work on a running run until a time.
type Lease struct {
	Holder    string
	ExpiresAt time.Time // by the database's clock
}

// Copy returns a copy of l, or nil.
func (l *Lease) Copy() *Lease {
	if l == nil {
		return nil
	}
	c := *l
	return &c
}

// Equal reports whether l and o have the same holder and end at the same time.
func (l *Lease) Equal(o *Lease) bool {
	if l == nil || o == nil {
		return l == o
	}
	return l.Holder == o.Holder && l.ExpiresAt.Equal(o.ExpiresAt)
}

// CancelRequest is the first request to cancel a run.
type CancelRequest struct {
	At     time.Time
	By     string
	Reason string
}

// Failure is one reason why a run did not succeed. It is stored as this JSON.
type Failure struct {
	Code        string `json:"code"`
	Reason      string `json:"reason_code"`
	Message     string `json:"message"`
	Item        string `json:"item,omitempty"`
	Retryable   bool   `json:"retryable"`
	Remediation string `json:"remediation,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
}

// Event is one change of a run's state, written in the transaction that changed it.
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

// ReaperName is the actor of events that the reaper writes.
const ReaperName = "reaper"

// Expired reports whether r's lease has expired at now, by the database's clock. A run
// without a lease counts as expired.
func (r *Run) Expired(now time.Time) bool {
	return r.Lease == nil || !r.Lease.ExpiresAt.After(now)
}

// end completes r at now. If the clock was set back since r was created or begun, that
// earlier time is used, so that the times of r stay in order.
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

// requeue returns r to the queue at now, under the next epoch.
func (r *Run) requeue(now time.Time) {
	r.Status = Queued
	r.QueuedAt = &now
	r.Epoch++
	r.Lease, r.ReleasedEpoch = nil, nil
}
