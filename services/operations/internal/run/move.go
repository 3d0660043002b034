package run

import (
	"bytes"
	"strconv"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Every move below checks in this order: completed, epoch, status. A nil Event
// with a nil error means nothing changed and the caller is to be answered OK.

// Begin leases r to holder at now for lease. A run whose lease expired is taken
// over as the reaper would decide, so r may come back completed: the move is
// then to be written and the caller refused with [Run.Refusal].
func (r *Run) Begin(now time.Time, holder string, lease time.Duration) (*Event, error) {
	switch {
	case r.Status == Completed:
		return nil, r.completedError()
	case r.Origin == Legacy:
		return nil, r.leaseLost("it was imported and is never leased")
	case r.Status == Running && r.Lease != nil && r.Lease.Holder == holder:
		r.Lease.ExpiresAt = now.Add(lease)
		return nil, nil
	case r.Status == Running && !r.Expired(now):
		return nil, errs.Aborted(ReasonLeaseHeld, "run %d is leased to another worker until %s",
			r.ID, r.Lease.ExpiresAt.UTC().Format(time.RFC3339))
	case r.Status == Running:
		if e := r.endExpired(now); e != nil {
			return e, nil
		}
	}
	r.Status = Running
	r.Epoch++
	r.Attempt++
	r.ReleasedEpoch = nil
	if r.StartedAt == nil {
		began := now
		if now.Before(r.CreatedAt) {
			began = r.CreatedAt
		}
		r.StartedAt = &began
	}
	r.Lease = &Lease{Holder: holder, ExpiresAt: now.Add(lease)}
	return &Event{Kind: EventBegun, Detail: map[string]any{"holder": holder}}, nil
}

// Progress reports whether a heartbeat under epoch is accepted.
func (r *Run) Progress(epoch int64) error {
	switch {
	case r.Status == Completed:
		return r.completedError()
	case r.Epoch != epoch || r.Status != Running:
		return r.leaseLost("it is not held under epoch " + strconv.FormatInt(epoch, 10))
	}
	return nil
}

// Release gives r back to the queue at now, the attempt with it; if cancel was
// asked for, r ends cancelled.
func (r *Run) Release(now time.Time, epoch int64) (*Event, error) {
	if r.Status == Queued && r.ReleasedEpoch != nil && *r.ReleasedEpoch == epoch {
		return nil, nil
	}
	if err := r.Progress(epoch); err != nil {
		return nil, err
	}
	if r.Cancel != nil {
		r.end(now, Cancelled)
		return &Event{Kind: EventCompleted, Detail: map[string]any{"reason": r.Cancel.Reason}}, nil
	}
	r.requeue(now)
	r.Attempt--
	r.ReleasedEpoch = &epoch
	return &Event{Kind: EventReleased}, nil
}

// Completion is what a CompleteRun says.
type Completion struct {
	Epoch    int64
	Outcome  Outcome
	Counts   map[string]int64 // empty keeps those reported
	Failures []Failure
	Digest   []byte // of outcome, counts and failures
}

// Complete ends r at now. A worker that lost our answer says it again and is
// told the same; who comes too late with something else is refused.
func (r *Run) Complete(now time.Time, c Completion) (*Event, error) {
	switch {
	case r.Status == Completed && r.CompletionDigest != nil && bytes.Equal(r.CompletionDigest, c.Digest):
		return nil, nil
	case r.Status == Completed:
		return nil, r.completedError()
	case r.Origin == Legacy:
		return nil, r.leaseLost("it was imported and is never leased")
	case r.Epoch != c.Epoch:
		return nil, r.leaseLost("it is not held under epoch " + strconv.FormatInt(c.Epoch, 10))
	case r.Status == Queued && c.Outcome != Failed && c.Outcome != Cancelled:
		return nil, errs.Conflict(ReasonNotRunning, "run %d is queued: it can only be completed as failed or cancelled", r.ID)
	}
	r.end(now, c.Outcome)
	r.Failures = c.Failures
	r.CompletionDigest = c.Digest
	if len(c.Counts) > 0 {
		r.Counts = c.Counts
	}
	return &Event{Kind: EventCompleted}, nil
}

// RequestCancel ends a queued r at now, and records the wish once on a running one.
func (r *Run) RequestCancel(now time.Time, by, reason string) *Event {
	switch {
	case r.Status == Completed, r.Cancel != nil, r.Origin == Legacy:
		return nil
	}
	r.Cancel = &CancelRequest{At: now, By: by, Reason: reason}
	detail := map[string]any{}
	if reason != "" {
		detail["reason"] = reason
	}
	if r.Status == Queued {
		r.end(now, Cancelled)
		return &Event{Kind: EventCompleted, Actor: by, Detail: detail}
	}
	return &Event{Kind: EventCancelRequested, Actor: by, Detail: detail}
}

// Supersede ends r at now in favour of a new run of its identity, if nobody
// works on it: it is queued or its lease expired. Otherwise it reports false
// and r is unchanged.
func (r *Run) Supersede(now time.Time, by string) (*Event, bool) {
	if r.Status == Completed || r.Status == Running && !r.Expired(now) {
		return nil, false
	}
	r.end(now, Cancelled, Failure{
		Code: ReasonAlreadyActive, Reason: failSuperseded,
		Message: "A newer run of the same work was started in its place.",
	})
	return &Event{Kind: EventCompleted, Actor: by, Detail: map[string]any{"reason": failSuperseded}}, true
}

// Reap does what time asks of r at now, or nothing.
func (r *Run) Reap(now time.Time, t Type) *Event {
	switch {
	case r.Origin == Legacy || r.Status == Completed:
		return nil
	case r.Status == Queued && r.QueuedAt != nil && now.Sub(*r.QueuedAt) > t.QueueDeadline:
		r.end(now, Failed, Failure{
			Code: "QUEUE_DEADLINE", Reason: failStartTimeout, Retryable: true,
			Message:     "No worker began the run within " + t.QueueDeadline.String() + ".",
			Remediation: "Check that the " + t.Owner + " service is running, then start it again.",
		})
		return reaped(failStartTimeout)
	case r.Status != Running:
		return nil
	case r.Expired(now):
		if e := r.endExpired(now); e != nil {
			return e
		}
		r.requeue(now)
		return &Event{Kind: EventRequeued, Actor: ReaperName, Detail: map[string]any{"reason": failLeaseExpired}}
	case r.Cancel != nil && now.Sub(r.Cancel.At) > t.CancelDeadline:
		r.end(now, Cancelled, Failure{
			Code: "CANCEL_DEADLINE", Reason: failCancelTimeout,
			Message: "The worker did not stop within " + t.CancelDeadline.String() + " of the cancel request.",
		})
		return reaped(failCancelTimeout)
	}
	return nil
}

// endExpired ends a running r whose lease expired if it may not be tried again.
func (r *Run) endExpired(now time.Time) *Event {
	switch {
	case r.Cancel != nil:
		r.end(now, Cancelled)
		return &Event{Kind: EventCompleted, Actor: ReaperName, Detail: map[string]any{"reason": r.Cancel.Reason}}
	case r.Attempt >= r.MaxAttempts:
		r.end(now, Failed, Failure{
			Code: "LEASE_EXPIRED", Reason: failLeaseExpired, Retryable: true,
			Message:     "Its worker stopped answering in attempt " + strconv.Itoa(r.Attempt) + " of " + strconv.Itoa(r.MaxAttempts) + ".",
			Remediation: "Look at the owning service's log around this time, then start it again.",
		})
		return reaped(failLeaseExpired)
	}
	return nil
}

func reaped(reason string) *Event {
	return &Event{Kind: EventCompleted, Actor: ReaperName, Detail: map[string]any{"reason": reason}}
}

// Refusal is what a caller that wanted to work on a completed r is told; nil if r is active.
func (r *Run) Refusal() error {
	if r.Status != Completed {
		return nil
	}
	return r.completedError()
}

func (r *Run) completedError() error {
	return errs.Conflict(ReasonCompleted, "run %d already ended: %s", r.ID, r.Outcome).
		With("run_id", strconv.FormatInt(r.ID, 10)).
		With("outcome", string(r.Outcome))
}

func (r *Run) leaseLost(why string) error {
	return errs.Aborted(ReasonLeaseLost, "run %d: %s", r.ID, why).
		With("run_id", strconv.FormatInt(r.ID, 10))
}

// AlreadyActive is what a starter that wanted its own run is told about r.
func (r *Run) AlreadyActive() *errs.Error {
	return errs.Aborted(ReasonAlreadyActive, "run %d of the same work is %s", r.ID, r.Status).
		With("run_id", strconv.FormatInt(r.ID, 10))
}
