package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	keptBack  = 20 * time.Millisecond  // of a deadline, so that the slow service is named by the one before it
	leastTime = 100 * time.Millisecond // with less there is no point in starting
)

// call holds what is known of one call while it runs.
type call struct {
	server    *Server
	name      string
	method    *method
	caller    Caller
	actor     actor.Actor
	acted     bool // for an end user
	workspace atomic.Int64
	requestID string
	start     time.Time
	entries   entries // of a batch
}

type callKey struct{}

func (s *Server) begin(ctx context.Context, name string) (context.Context, *call) {
	c := &call{server: s, name: name, method: s.methods[name], caller: callerOf(ctx), requestID: requestID(ctx), start: time.Now()}
	c.method.metrics.started.Inc()
	ctx = context.WithValue(inTrace(ctx), callKey{}, c)
	return WithRequestID(ctx, c.requestID), c
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	if own(serviceName(info.FullMethod)) {
		return handler(ctx, req)
	}
	ctx, c := s.begin(ctx, info.FullMethod)
	defer func() { err = s.finish(ctx, c, err) }()
	defer recovered(&err)
	// The name differs on purpose: finish must not see the context that our own
	// cancel has ended.
	within, cancel, err := shave(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if within, err = s.admit(within, c); err != nil {
		return nil, err
	}
	if err := s.check(c, c.method, req); err != nil {
		return nil, err
	}
	return handler(within, req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	if own(serviceName(info.FullMethod)) {
		ctx, end := s.untilLeaving(ss.Context())
		defer end()
		return handler(srv, &checkedStream{ServerStream: ss, ctx: ctx, check: func(any) error { return nil }})
	}
	ctx, c := s.begin(ss.Context(), info.FullMethod)
	defer func() { err = s.finish(ctx, c, err) }()
	defer recovered(&err)
	within, cancel, err := shave(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if within, err = s.admit(within, c); err != nil {
		return err
	}
	within, end := s.untilLeaving(within)
	defer end()
	err = handler(srv, &checkedStream{ServerStream: ss, ctx: within, check: func(m any) error { return s.check(c, c.method, m) }})
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(within), errLeaving) {
		return errs.Unavailable("SERVER_LEAVING", "the server is shutting down; open the stream again where it ended").RetryIn(reopenIn).Wrap(err)
	}
	return err
}

// checkedStream checks each message it receives.
type checkedStream struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // gRPC asks a stream for its context
	check func(any) error
}

func (s *checkedStream) Context() context.Context { return s.ctx }

func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.check(m)
}

// shave makes the deadline a little earlier, to leave time for the way back.
func shave(ctx context.Context) (context.Context, context.CancelFunc, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}, nil
	}
	if time.Until(deadline) < leastTime {
		return ctx, nil, errs.Ended(codes.DeadlineExceeded, errTooLate)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(-keptBack))
	return ctx, cancel, nil
}

// mostAttrs is the most attributes that the log line of a call has.
const mostAttrs = 12

// finish turns err into what the caller sees, and writes the one log line of the
// call.
func (s *Server) finish(ctx context.Context, c *call, err error) error {
	attrs := append(make([]slog.Attr, 0, mostAttrs),
		slog.String("method", c.name), slog.String("caller", c.caller.Service), slog.String("request_id", c.requestID),
		slog.Float64("duration_ms", float64(time.Since(c.start).Microseconds())/1000),
	)
	if c.acted {
		attrs = append(attrs, slog.Int64("user_id", c.actor.UserID))
	}
	level := c.outcome(&attrs)
	if id := c.workspace.Load(); id > 0 {
		attrs = append(attrs, slog.Int64("workspace_id", id))
	}
	if err == nil {
		c.count(codes.OK)
		s.log.LogAttrs(ctx, level, "call", append(attrs, slog.String("code", codes.OK.String()))...)
		return nil
	}
	e := told(ctx, err)
	c.count(e.Code())
	attrs = append(attrs, slog.String("code", e.Code().String()), slog.String("reason", e.Reason()), slog.String("err", err.Error()))
	s.log.LogAttrs(ctx, severity(e.Code()), "call", append(attrs, stackOf(err)...)...)
	return e.GRPCStatus().Err()
}

// outcome adds to the log line of a batch what became of its entries.
func (c *call) outcome(attrs *[]slog.Attr) slog.Level {
	e := &c.entries
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.count == 0 {
		return slog.LevelInfo
	}
	c.workspace.Store(e.workspace)
	*attrs = append(*attrs, slog.Int("entries", e.count), slog.Int("refused_entries", e.refused), slog.Int("users", len(e.users)))
	if e.fault != nil {
		*attrs = append(append(*attrs, slog.String("err", e.fault.Error())), stackOf(e.fault)...)
		return slog.LevelError
	}
	return slog.LevelInfo
}

func severity(code codes.Code) slog.Level {
	switch code {
	case codes.Internal:
		return slog.LevelError
	case codes.Unavailable, codes.DeadlineExceeded:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// panicked is a panic of a handler; the process goes on.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// recovered, deferred, makes an error of a panic.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &panicked{value: p, stack: debug.Stack()}
	}
}

// stackOf returns where err panicked, if it did.
func stackOf(err error) []slog.Attr {
	if p, ok := errors.AsType[*panicked](err); ok {
		return []slog.Attr{slog.String("stack", string(p.stack))}
	}
	return nil
}

func serviceName(fullMethod string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	return service
}

// requestMetadata is the metadata key of the request id.
const requestMetadata = "x-request-id"

type requestKey struct{}

// WithRequestID puts the id of a request on ctx; calls made under it carry it.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestIDFrom returns the id of the request that ctx belongs to, or "".
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// requestID returns the caller's id if it can be logged, else a new one.
func requestID(ctx context.Context) string {
	if ids := metadata.ValueFromIncomingContext(ctx, requestMetadata); len(ids) == 1 && ids[0] != "" && len(ids[0]) <= 128 {
		return ids[0]
	}
	return rand.Text()
}
