package proof

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// register is the state of one identity as a single client would see it: the runs it had,
// of which at most one is active, and which run each request id stands for. It is written
// from the design, not from the code.
type register struct {
	lives []life
	asked []asked
}

// life is one run of the identity.
type life struct {
	id                       int64
	status, outcome          string
	epoch, attempt, released int64
	holder                   string
	expired, cancel          bool
	said                     string // the outcome of the CompleteRun that ended it
}

// asked is the result of the request with an id.
type asked struct {
	request string
	run     int64
	started bool
}

// call is an operation on the register.
type call struct {
	kind       string
	run, epoch int64
	holder     string
	request    string
	policy     string
	outcome    string
	known      bool  // the caller got a result; else the call may have happened or not
	became     asked // of a start without a result: what its request id stands for at the end
}

// answer is the result of a call.
type answer struct {
	reason          string // "" is OK
	run, epoch      int64
	started, cancel bool
	status, outcome string
}

const maxAttempts = 3

// model is the register in the form of porcupine: for a state and a call, the states that
// may follow. A call without a result may have happened or not.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{register{}} },
		Step: func(state, in, out any) []any {
			before, c, told := state.(register), in.(call), out.(answer)
			after := register{lives: slices.Clone(before.lives), asked: slices.Clone(before.asked)}
			said := after.apply(c, told)
			switch {
			case !c.known:
				return []any{before, after}
			case said == told:
				return []any{after}
			}
			return nil
		},
		Equal: func(a, b any) bool {
			x, y := a.(register), b.(register)
			return slices.Equal(x.lives, y.lives) && slices.Equal(x.asked, y.asked)
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v: %+v", in, out) },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
	}
	return m.ToModel()
}

// apply applies c and returns the result it must have. Only the id of a new run is taken
// from the recorded result, or from what the request id stands for at the end.
func (r *register) apply(c call, told answer) answer {
	if c.kind == "start" {
		return r.start(c, told)
	}
	l := r.life(c.run)
	if l == nil {
		return answer{reason: "NOT_FOUND"}
	}
	switch c.kind {
	case "begin":
		return l.begin(c)
	case "report":
		return l.report(c)
	case "release":
		return l.release(c)
	case "complete":
		return l.complete(c)
	case "cancel":
		l.askToCancel()
		return answer{status: l.status}
	case "get":
		return answer{status: l.status, outcome: l.outcome, epoch: l.epoch, cancel: l.cancel}
	case "expire":
		return l.expire()
	case "reap":
		return l.reap()
	}
	panic(c.kind)
}

func (r *register) life(id int64) *life {
	i := slices.IndexFunc(r.lives, func(l life) bool { return l.id == id })
	if i < 0 {
		return nil
	}
	return &r.lives[i]
}

func (r *register) active() *life {
	i := slices.IndexFunc(r.lives, func(l life) bool { return l.status != "completed" })
	if i < 0 {
		return nil
	}
	return &r.lives[i]
}

func (r *register) start(c call, told answer) answer {
	if i := slices.IndexFunc(r.asked, func(a asked) bool { return a.request == c.request }); i >= 0 {
		return answer{run: r.asked[i].run, started: r.asked[i].started}
	}
	twin := r.active()
	switch {
	case twin == nil:
	case c.policy == "use":
		if c.known || c.became == (asked{request: c.request, run: twin.id}) {
			r.asked = append(r.asked, asked{request: c.request, run: twin.id})
		}
		return answer{run: twin.id}
	case c.policy == "fail":
		return answer{reason: "RUN_ALREADY_ACTIVE"}
	case twin.status == "running" && !twin.expired:
		twin.askToCancel()
		return answer{reason: "RUN_ALREADY_ACTIVE"}
	}
	id := told.run
	if !c.known {
		id = c.became.run
		if !c.became.started {
			return answer{}
		}
	}
	if id == 0 || r.life(id) != nil {
		return answer{reason: "there should be a new run"}
	}
	if twin != nil {
		twin.end("cancelled")
	}
	r.create(id, c)
	return answer{run: id, started: true}
}

func (r *register) create(id int64, c call) {
	l := life{id: id, status: "queued", outcome: "pending"}
	if c.holder != "" {
		l.status, l.epoch, l.attempt, l.holder = "running", 1, 1, c.holder
	}
	r.lives = append(r.lives, l)
	r.asked = append(r.asked, asked{request: c.request, run: id, started: true})
}

func (l *life) end(outcome string) {
	l.status, l.outcome, l.holder, l.expired, l.released = "completed", outcome, "", false, 0
}

func (l *life) begin(c call) answer {
	switch {
	case l.status == "completed":
		return answer{reason: "RUN_COMPLETED"}
	case l.status == "running" && l.holder == c.holder:
		l.expired = false
		return answer{epoch: l.epoch}
	case l.status == "running" && !l.expired:
		return answer{reason: "LEASE_HELD"}
	case l.status == "running" && l.exhausted():
		return answer{reason: "RUN_COMPLETED"}
	}
	l.status, l.holder, l.expired, l.released = "running", c.holder, false, 0
	l.epoch++
	l.attempt++
	return answer{epoch: l.epoch}
}

// exhausted ends a run whose lease has expired if it must not be tried again.
func (l *life) exhausted() bool {
	switch {
	case l.cancel:
		l.end("cancelled")
	case l.attempt >= maxAttempts:
		l.end("failed")
	default:
		return false
	}
	return true
}

// refuses returns why a call under an epoch is refused, or "".
func (l *life) refuses(epoch int64) string {
	switch {
	case l.status == "completed":
		return "RUN_COMPLETED"
	case l.epoch != epoch || l.status != "running":
		return "LEASE_LOST"
	}
	return ""
}

func (l *life) report(c call) answer {
	if reason := l.refuses(c.epoch); reason != "" {
		return answer{reason: reason}
	}
	l.expired = false
	return answer{cancel: l.cancel}
}

func (l *life) release(c call) answer {
	if l.status == "queued" && l.released == c.epoch && c.epoch > 0 {
		return answer{}
	}
	if reason := l.refuses(c.epoch); reason != "" {
		return answer{reason: reason}
	}
	if l.cancel {
		l.end("cancelled")
		return answer{}
	}
	l.requeue()
	l.attempt--
	l.released = c.epoch
	return answer{}
}

func (l *life) requeue() {
	l.status, l.holder, l.expired, l.released = "queued", "", false, 0
	l.epoch++
}

func (l *life) complete(c call) answer {
	switch {
	case l.status == "completed" && l.said == c.outcome:
		return answer{}
	case l.status == "completed":
		return answer{reason: "RUN_COMPLETED"}
	case l.epoch != c.epoch:
		return answer{reason: "LEASE_LOST"}
	case l.status == "queued" && c.outcome == "succeeded":
		return answer{reason: "RUN_NOT_RUNNING"}
	}
	l.end(c.outcome)
	l.said = c.outcome
	return answer{}
}

func (l *life) askToCancel() {
	switch {
	case l.status == "completed" || l.cancel:
	case l.status == "queued":
		l.cancel = true
		l.end("cancelled")
	default:
		l.cancel = true
	}
}

// expire is a lease that the test lets expire; the result is the run's epoch then.
func (l *life) expire() answer {
	if l.status != "running" {
		return answer{}
	}
	l.expired = true
	return answer{epoch: l.epoch}
}

// reap is recorded only if the reaper moved the run.
func (l *life) reap() answer {
	if l.status != "running" || !l.expired {
		return answer{reason: "there is nothing to reap"}
	}
	if !l.exhausted() {
		l.requeue()
	}
	return answer{status: l.status, outcome: l.outcome, epoch: l.epoch}
}
