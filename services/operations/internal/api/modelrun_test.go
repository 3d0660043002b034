package api_test

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
)

// maxAttempts is how often a run of the model may be tried.
const maxAttempts = 3

// codeOf is the code of a refusal by its reason; "" is a call that is accepted.
var codeOf = map[string]codes.Code{
	"":                   codes.OK,
	"RUN_COMPLETED":      codes.FailedPrecondition,
	"RUN_NOT_RUNNING":    codes.FailedPrecondition,
	"LEASE_HELD":         codes.Aborted,
	"LEASE_LOST":         codes.Aborted,
	"RUN_ALREADY_ACTIVE": codes.Aborted,
	"REQUEST_ID_REUSED":  codes.InvalidArgument,
}

// modelRun is a run as docs/run.md describes it. It has no clock: that a lease expires
// or a deadline passes is an event of its own. Each call returns the reason why it is
// refused, or "".
type modelRun struct {
	id      int64
	inputs  string
	status  string // queued, running, completed
	outcome string
	epoch   int64
	attempt int
	holder  string // of the lease, while running

	expired, overdue, stubborn bool // past: its lease, its queue deadline, its cancel deadline
	cancelAsked                bool
	released                   int64  // the epoch under which it was released, while queued; else -1
	content                    string // of the CompleteRun that completed it
	hasBegun, wasQueued        bool
	failures                   []string // reasons
}

func createdRun(id int64, inputs, holder string) *modelRun {
	r := &modelRun{id: id, inputs: inputs, status: "queued", outcome: "pending", released: -1, wasQueued: true}
	if holder != "" {
		r.wasQueued = false
		r.lease(holder)
	}
	return r
}

// lease makes the run running, in its next attempt.
func (r *modelRun) lease(holder string) {
	r.status, r.holder, r.expired, r.hasBegun, r.released = "running", holder, false, true, -1
	r.epoch++
	r.attempt++
}

func (r *modelRun) end(outcome string, failures ...string) {
	r.status, r.outcome, r.holder = "completed", outcome, ""
	r.failures = append(r.failures, failures...)
}

func (r *modelRun) requeue() {
	r.status, r.holder, r.wasQueued, r.overdue = "queued", "", true, false
	r.epoch++
}

func (r *modelRun) begin(holder string) string {
	switch {
	case r.status == "completed":
		return "RUN_COMPLETED"
	case r.status == "running" && r.holder == holder:
		r.expired = false
		return ""
	case r.status == "running" && !r.expired:
		return "LEASE_HELD"
	case r.status == "running" && r.cancelAsked:
		r.end("cancelled")
		return "RUN_COMPLETED"
	case r.status == "running" && r.attempt == maxAttempts:
		r.end("failed", "lease_expired")
		return "RUN_COMPLETED"
	}
	r.lease(holder)
	return ""
}

func (r *modelRun) progress(epoch int64) string {
	switch {
	case r.status == "completed":
		return "RUN_COMPLETED"
	case r.epoch != epoch || r.status == "queued":
		return "LEASE_LOST"
	}
	r.expired = false
	return ""
}

func (r *modelRun) release(epoch int64) string {
	switch {
	case r.status == "completed":
		return "RUN_COMPLETED"
	case r.status == "queued" && r.released == epoch:
		return ""
	case r.epoch != epoch || r.status == "queued":
		return "LEASE_LOST"
	case r.cancelAsked:
		r.end("cancelled")
		return ""
	}
	r.released = r.epoch
	r.requeue()
	r.attempt--
	return ""
}

func (r *modelRun) complete(epoch int64, outcome string) string {
	switch {
	case r.status == "completed" && r.content == outcome:
		return ""
	case r.status == "completed":
		return "RUN_COMPLETED"
	case r.epoch != epoch:
		return "LEASE_LOST"
	case r.status == "queued" && outcome != "failed" && outcome != "cancelled":
		return "RUN_NOT_RUNNING"
	}
	r.content = outcome
	r.end(outcome)
	return ""
}

func (r *modelRun) cancel() {
	switch {
	case r.status == "completed" || r.cancelAsked:
		return
	case r.status == "queued":
		r.end("cancelled")
	}
	r.cancelAsked = true
}

// supersede ends the run if nobody works on it, for a new run in its place.
func (r *modelRun) supersede() bool {
	if r.status == "running" && !r.expired {
		return false
	}
	r.end("cancelled", "superseded")
	return true
}

func (r *modelRun) reap() {
	switch {
	case r.status == "queued" && r.overdue:
		r.end("failed", "start_timeout")
	case r.status == "running" && r.expired && r.cancelAsked:
		r.end("cancelled")
	case r.status == "running" && r.expired && r.attempt == maxAttempts:
		r.end("failed", "lease_expired")
	case r.status == "running" && r.expired:
		r.requeue()
	case r.status == "running" && r.stubborn:
		r.end("cancelled", "cancel_timeout")
	}
}

// String describes r as [describe] does the service's run.
func (r *modelRun) String() string {
	return fmt.Sprintf("%s/%s epoch %d attempt %d held by %q cancel %v started %v ended %v queued %v failures %v",
		r.status, r.outcome, r.epoch, r.attempt, r.holder, r.cancelAsked, r.hasBegun, r.status == "completed",
		r.wasQueued, slices.Concat([]string{}, r.failures))
}
