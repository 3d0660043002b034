package run

import (
	"bytes"
	"strconv"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Every move below checks in this order: completed, imported, epoch, status. If it
// returns neither an event nor an error, the call succeeds and writes no event: nothing
// changed, or only the lease was extended.

// neverLeased is why calls of an imported run are refused.
const neverLeased = "it was imported and is never leased"

// Begin leases r to holder from now on for the duration lease. If the lease of another
// holder has expired, it does what the reaper would do first: r may then be completed
// by the event, and the caller must be refused with [Run.Refusal].
func (r *Run) Begin(now time.Time, holder string, lease time.Duration) (*Event, error) {
	switch {
	case r.Status == Completed:
		return nil, r.completedError()
	case r.Origin == Legacy:
		return nil, r.leaseLost(neverLeased)
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

// Progress returns an error if a heartbeat under epoch is refused. It changes nothing:
// the store extends the lease.
func (r *Run) Progress(epoch int64) error {
	switch {
	case r.Status == Completed:
		return r.completedError()
	case r.Origin == Legacy:
		return r.leaseLost(neverLeased)
	case r.Epoch != epoch || r.Status != Running:
		return r.leaseLost("it is not held under epoch " + strconv.FormatInt(epoch, 10))
	}
	return nil
}

// Release returns r to the queue, and takes back the attempt. If somebody asked to
// cancel r, it ends r as cancelled instead. A worker may repeat a release whose reply
// it did not get.
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

// Completion is the content of a CompleteRun.
type Completion struct {
	Epoch    int64
	Outcome  Outcome
	Counts   map[string]int64 // empty: those of the last heartbeat stay
	Failures []Failure
	Digest   []byte // of outcome, counts and failures
}

// Complete ends r with c. A worker may repeat a completion whose reply it did not get;
// another content comes too late and is refused.
func (r *Run) Complete(now time.Time, c Completion) (*Event, error) {
	switch {
	case r.Status == Completed && r.CompletionDigest != nil && bytes.Equal(r.CompletionDigest, c.Digest):
		return nil, nil
	case r.Status == Completed:
		return nil, r.completedError()
	case r.Origin == Legacy:
		return nil, r.leaseLost(neverLeased)
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

// RequestCancel ends r if it is queued. If it is running, it records the request, for
// the worker to see; only the first request counts.
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

// Supersede ends r as cancelled, so that a new run of its identity can start, if nobody
// works on it: it is queued or its lease has expired. Otherwise it reports false and
// does not change r.
func (r *Run) Supersede(now time.Time, by string) (*Event, bool) {
	if r.Status == Completed || r.Origin == Legacy || r.Status == Running && !r.Expired(now) {
		return nil, false
	}
	r.end(now, Cancelled, Failure{
		Code: ReasonAlreadyActive, Reason: failSuperseded,
		Message: "A newer run of the same work was started in its place.",
	})
	return &Event{Kind: EventCompleted, Actor: by, Detail: map[string]any{"reason": failSuperseded}}, true
}

// Reap ends or requeues r if its time is up: its lease, its queue deadline or its cancel
// deadline. Otherwise it returns nil and does not change r.
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

// endExpired ends r, whose lease has expired, if it must not be tried again. Otherwise it
// returns nil and does not change r.
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

// reaped returns the event of a run that the reaper ended.
func reaped(reason string) *Event {
	return &Event{Kind: EventCompleted, Actor: ReaperName, Detail: map[string]any{"reason": reason}}
}

// Refusal returns the error for a caller that wants to work on r: that r is completed,
// or nil.
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

// AlreadyActive returns the error for a start that does not want r, its active twin.
func (r *Run) AlreadyActive() *errs.Error {
	return errs.Aborted(ReasonAlreadyActive, "run %d of the same work is %s", r.ID, r.Status).
		With("run_id", strconv.FormatInt(r.ID, 10))
}
