package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// answer is the result of one entry, of any of the batch calls.
type answer[R any] interface {
	GetResponse() R
	GetError() *statusv1.Status
	GetAlone() bool
}

// fly sends f, then the calls that came meanwhile, until they no longer make a batch.
func (c *collector[Q, R, A]) fly(f *flight[Q, R, A]) {
	for f != nil {
		c.send(f)
		if f = c.land(f); f != nil && !c.board(f) {
			return
		}
	}
}

// send makes the batch call of f and gives each caller its result.
func (c *collector[Q, R, A]) send(f *flight[Q, R, A]) {
	entries := c.pack(f)
	// With the context of one caller, the batch would be made for that caller's end user
	// and in that caller's trace.
	ctx, cancel := context.WithDeadline(context.Background(), latest(f.calls))
	defer cancel()
	f.cancel = cancel
	close(f.packed)
	answers, err := c.batch(ctx, entries, len(f.calls))
	for i, w := range f.calls {
		if w.result.err = err; err == nil {
			w.result.answer = answers[i]
		}
		w.told <- struct{}{}
	}
}

// latest returns the latest deadline of all callers.
func latest[Q proto.Message, R proto.Message, A answer[R]](calls []*waiter[Q, R, A]) (end time.Time) {
	for _, w := range calls {
		if deadline, _ := w.ctx.Deadline(); deadline.After(end) {
			end = deadline
		}
	}
	return end
}

// pack returns the calls of f as the bytes of a batch. A call that cannot be encoded,
// or that is larger than a whole batch, is made alone by its caller. Calls for which
// the batch has no room wait again.
func (c *collector[Q, R, A]) pack(f *flight[Q, R, A]) (entries []byte) {
	var sent []*waiter[Q, R, A]
	rest := f.calls
	for ; len(rest) > 0; rest = rest[1:] {
		w := rest[0]
		grown, err := c.appendEntry(entries, w)
		full := len(grown) > mostBytes
		switch {
		case full && len(sent) > 0:
			c.keep(f, sent, rest)
			return entries
		case full, err != nil:
			w.result.err = errAlone
			w.told <- struct{}{}
		default:
			sent, entries = append(sent, w), grown
		}
	}
	c.keep(f, sent, nil)
	return entries
}

// keep makes sent the calls of f and puts the others back at the head of the queue.
func (c *collector[Q, R, A]) keep(f *flight[Q, R, A], sent, others []*waiter[Q, R, A]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.calls = sent
	if len(others) == 0 {
		return
	}
	for _, w := range others {
		w.flight = nil
	}
	c.waiting = slices.Insert(c.waiting, 0, others...)
	c.arm()
}

// entriesField is the number of the field entries in each batch request.
const entriesField = 2

// appendEntry appends the call of w as one value of the field entries. A request that
// cannot be encoded fails here: encoded with the whole batch, it would fail every call.
func (c *collector[Q, R, A]) appendEntry(b []byte, w *waiter[Q, R, A]) (_ []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encode a call: panic: %v", p)
		}
	}()
	h := rpc.HeadersOf(w.ctx)
	entry := c.entry(w.req, &operationsv1.EntryHeaders{
		ActorToken: h.ActorToken, Traceparent: h.Traceparent, Timeout: durationpb.New(h.Timeout),
	})
	b = protowire.AppendTag(b, entriesField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(proto.Size(entry))) //nolint:gosec // a size is not negative
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, entry)
}

var errAnswers = errors.New("the run store did not return a result for each call of a batch")

// batch makes the batch call for n entries.
func (c *collector[Q, R, A]) batch(ctx context.Context, entries []byte, n int) (answers []A, err error) {
	if n == 0 {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = errs.Internal(fmt.Errorf("batch call: panic: %v", p))
		}
	}()
	answers, err = c.many(ctx, entries)
	if err == nil && len(answers) != n {
		err = errs.Internal(errAnswers)
	}
	return answers, errs.FromStatus(err)
}

// settle returns the response or error of w, which was sent in a batch. It makes the
// call alone if the store did not do it in the batch. It also does so if the store is
// unavailable and the call may be repeated: pkg/rpc repeats a call that is made alone.
func (c *collector[Q, R, A]) settle(w *waiter[Q, R, A]) (R, error) {
	resp, err := w.result.read()
	if errors.Is(err, errAlone) || errs.Code(err) == codes.Unavailable && c.repeatable(w.req) {
		return c.alone(w.ctx, w.req)
	}
	if err == nil {
		c.complete(w.req, resp)
	}
	return resp, err
}

// errAlone says that a call has to be made alone: the store did not do it.
var errAlone = errors.New("collect: the call has to be made alone")

// result is the answer to a call within a batch, or why there is none.
type result[R proto.Message, A answer[R]] struct {
	answer A
	err    error // set if there is no answer
}

func (r result[R, A]) read() (resp R, err error) {
	switch {
	case errors.Is(r.err, errAlone), notTaken(r.err), r.err == nil && r.answer.GetAlone():
		return resp, errAlone
	case r.err != nil:
		return resp, r.err
	case r.answer.GetError() != nil:
		return resp, errs.FromStatus(status.FromProto(r.answer.GetError()).Err())
	case !r.answer.GetResponse().ProtoReflect().IsValid():
		return resp, errs.Internal(errAnswers)
	}
	return r.answer.GetResponse(), nil
}

// notTaken reports whether err, of a batch, says that the store did none of its calls.
// Example: an older version of the store does not know entries. Each caller then makes
// its call alone and gets the error of that call.
func notTaken(err error) bool {
	switch errs.Code(err) {
	case codes.InvalidArgument, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated:
		return true
	}
	return false
}
