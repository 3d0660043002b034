package rpc

import (
	"context"
	"errors"
	"time"
)

const (
	stopWithin = 20 * time.Second // from the end of the server's context: longer than any unary call may take
	reopenIn   = 100 * time.Millisecond
)

// errLeaving is why streams end and the server is not ready: it is shutting down.
var errLeaving = errors.New("the server is shutting down")

// stop waits for ctx to end and then ends the server in an order that costs
// nobody a call: first it says that it is going, so that callers turn elsewhere;
// then it takes no new calls and ends its streams; then it waits for those that run.
func (s *Server) stop(ctx context.Context) {
	<-ctx.Done()
	s.log.InfoContext(ctx, "draining", "grace", s.cfg.DrainGrace.String())
	limit := time.AfterFunc(stopWithin, s.grpc.Stop)
	defer limit.Stop()
	s.health.Shutdown()
	<-time.After(min(s.cfg.DrainGrace, stopWithin))
	s.leave()
	s.grpc.GracefulStop()
}

// Close frees what a server holds that was never served. A server that was served
// holds nothing any more.
func (s *Server) Close() {
	s.leave()
	s.grpc.Stop()
}

// untilLeaving ends the context of a stream when the server shuts down. Calls
// with a single response are not ended; the server waits for them.
func (s *Server) untilLeaving(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(s.leaving, func() { cancel(errLeaving) })
	return ctx, func() {
		forget()
		cancel(nil)
	}
}
