package rpc

import (
	"context"
	"fmt"
	"sync"

	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Check is for the handler of a batch: it holds m, one element, to all that the
// request of a call of method ("StartRun", of the same service) is held to, in
// the same order and words. The batch itself leaves its elements unchecked
// (their rule is IGNORE_ALWAYS), so that a bad one fails for itself only.
func Check(ctx context.Context, method string, m proto.Message) error {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return fmt.Errorf("check %T: not within a call", m)
	}
	rule, ok := c.server.methods["/"+serviceName(c.name)+"/"+method]
	if !ok {
		return fmt.Errorf("check %T: there is no method %s", m, method)
	}
	return c.server.check(c, rule, m)
}

// Refused is what the caller of a batch is told of err, which failed one
// element: what a call of its own would be told. The call's log line counts it.
func Refused(ctx context.Context, err error) *statusv1.Status {
	e := told(ctx, err)
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.refusals.add(e, err)
	}
	return e.GRPCStatus().Proto()
}

// refusals are the failed elements of a batch. Only faults are worth a line of
// the log; of those the first is shown.
type refusals struct {
	mu    sync.Mutex
	count int
	fault error
}

func (r *refusals) add(e *errs.Error, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if e.Code() == codes.Internal && r.fault == nil {
		r.fault = err
	}
}

func (r *refusals) read() (count int, fault error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.fault
}
