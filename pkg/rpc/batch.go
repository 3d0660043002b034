package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Entry is one call of a batch, for the handler of the batch. The batch leaves its
// entries unchecked (the rule of their field is IGNORE_ALWAYS), so that a bad one
// fails for itself only: [Entry.Check] holds each to all that a call of its own is
// held to, in the same order and words, and [Entry.End] says what its caller is
// told.
type Entry struct {
	batch *call
	call  *call
	ctx   context.Context //nolint:containedctx // an entry is a call: this is its handler's
	span  trace.Span      // nil where nobody takes spans
	err   error           // why it is not admitted
}

// BeginEntry begins an entry of the batch that ctx belongs to: a call of method
// ("StartRun", of the same service). Without headers it is made for whom the batch
// is made and in its trace. With headers it is part of the trace they name; if they
// have a token it is made for the end user of that, else for whom the batch is made.
func BeginEntry(ctx context.Context, method string, h *Headers) *Entry {
	batch, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return &Entry{ctx: ctx, err: fmt.Errorf("begin an entry of %s: not within a call", method)}
	}
	name := "/" + serviceName(batch.name) + "/" + method
	e := &Entry{batch: batch, ctx: ctx, call: &call{
		server: batch.server, name: name, method: batch.server.methods[name], caller: batch.caller,
		actor: batch.actor, acted: batch.acted, requestID: batch.requestID, start: batch.start,
	}}
	if e.call.method == nil {
		e.err = fmt.Errorf("begin an entry: there is no method %s", name)
		return e
	}
	if h != nil {
		e.observe(*h)
		e.err = e.admit(*h)
	}
	e.ctx = context.WithValue(e.ctx, callKey{}, e.call)
	return e
}

// observe puts the trace of the entry's caller in the place of the batch's. The
// entry's span is part of the former and links to the latter.
func (e *Entry) observe(h Headers) {
	link := trace.LinkFromContext(e.ctx)
	e.ctx = ofTrace(e.ctx, h.Traceparent)
	if e.batch.server.traced {
		e.ctx, e.span = otel.Tracer("github.com/tenantpilot/tenantpilot/pkg/rpc").Start(e.ctx, e.call.name[1:],
			trace.WithSpanKind(trace.SpanKindServer), trace.WithLinks(link))
	}
}

// admit does for an entry what [Server.admit] does for a call.
func (e *Entry) admit(h Headers) error {
	if h.Timeout != 0 && h.Timeout < leastTime {
		return errs.Ended(codes.DeadlineExceeded, errTooLate)
	}
	if !slices.Contains(e.call.method.callers, e.call.caller.Service) {
		return notPermitted(e.call)
	}
	if h.ActorToken == "" {
		return nil
	}
	a, err := e.batch.entries.verify(e.batch.server.verifier, h.ActorToken)
	if err != nil {
		return err
	}
	e.call.actor, e.call.acted = a, true
	e.ctx = actor.WithToken(e.ctx, a, h.ActorToken)
	return nil
}

// Context returns the context for what is done for the entry alone: its end user,
// its trace. It ends with the batch.
func (e *Entry) Context() context.Context { return e.ctx }

// Check returns why the entry, whose request is m, is refused, or nil.
func (e *Entry) Check(m proto.Message) error {
	if e.err != nil {
		return e.err
	}
	return e.call.server.check(e.call, e.call.method, m)
}

// Do calls f and returns its error. A panic of f fails the entry, not the batch.
func (e *Entry) Do(f func() error) (err error) {
	defer recovered(&err)
	return f()
}

// End ends the entry, once, and returns the status that its caller sees for err, the
// same as if it had made a call of its own. It returns nil if err is nil.
func (e *Entry) End(err error) *statusv1.Status {
	if err == nil {
		e.finish(nil, nil)
		return nil
	}
	answer := told(e.ctx, err)
	e.finish(answer, err)
	return answer.GRPCStatus().Proto()
}

func (e *Entry) finish(answer *errs.Error, err error) {
	if e.batch != nil {
		e.batch.entries.add(e.call, answer, err)
	}
	if e.span == nil {
		return
	}
	if code := errs.Code(asError(answer)); code != codes.OK {
		e.span.SetAttributes(attribute.Int("rpc.grpc.status_code", int(code)))
		e.span.SetStatus(otelcodes.Error, answer.Message())
	}
	e.span.End()
}

// asError keeps a nil *errs.Error from becoming an error that is not nil.
func asError(e *errs.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// errTooLate is why a call or an entry is not begun.
var errTooLate = errors.New("the call arrived with too little time left")

// entries is what a batch knows of its entries, for its line of the log: how many
// there were, how many failed, for how many users. Of faults of
// ours the first is shown there.
type entries struct {
	mu        sync.Mutex
	count     int
	refused   int
	users     map[int64]bool
	workspace int64 // of all entries so far; mixed if they differ
	fault     error
	verified  map[string]verified // by token: entries of one user mostly have the same
}

// mixed stands for entries of more than one workspace.
const mixed = -1

// verified is what a token was found to be.
type verified struct {
	actor actor.Actor
	err   error
}

// verify is [actor.Verifier.Verify], once for each token of the batch.
func (e *entries) verify(v *actor.Verifier, token string) (actor.Actor, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	found, ok := e.verified[token]
	if !ok {
		found.actor, found.err = v.Verify(token)
		if e.verified == nil {
			e.verified = map[string]verified{}
		}
		e.verified[token] = found
	}
	return found.actor, found.err
}

func (e *entries) add(c *call, answer *errs.Error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	if c.acted {
		if e.users == nil {
			e.users = map[int64]bool{}
		}
		e.users[c.actor.UserID] = true
	}
	switch id := c.workspace.Load(); {
	case id == 0 || id == e.workspace:
	case e.workspace == 0:
		e.workspace = id
	default:
		e.workspace = mixed
	}
	if answer == nil {
		return
	}
	e.refused++
	if answer.Code() == codes.Internal && e.fault == nil {
		e.fault = err
	}
}
