package rpctest

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// FailCall makes the nth call of method from now ("StartRun"; n is 1 for the
// next) fail with err, before its handler runs. A retry by the client is a call.
func (s *Service) FailCall(n int, method string, err error) {
	s.faults.add(&fault{left: n, method: method, err: err})
}

// LoseReply makes the nth call of method from now be done, and its reply be
// lost: the client sees Unavailable.
func (s *Service) LoseReply(n int, method string) {
	s.faults.add(&fault{left: n, method: method, after: true, err: errs.Unavailable("REPLY_LOST", "the reply was lost")})
}

type fault struct {
	method string
	left   int // calls until it strikes
	after  bool
	err    error
}

type faults struct {
	mu      sync.Mutex
	waiting []*fault
}

func (f *faults) add(one *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, one)
}

// strike counts a call and returns the faults that are its own.
func (f *faults) strike(fullMethod string) (before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.waiting {
		if !strings.HasSuffix(fullMethod, "/"+one.method) {
			continue
		}
		one.left--
		switch {
		case one.left == 0 && one.after:
			after = one.err
		case one.left == 0:
			before = one.err
		}
	}
	return before, after
}

func (f *faults) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	before, after := f.strike(info.FullMethod)
	if before != nil {
		return nil, before
	}
	resp, err := handler(ctx, req)
	if after != nil {
		return nil, after
	}
	return resp, err
}
