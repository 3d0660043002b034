package rpc

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

// Headers are what a call carries beside its request. A client that sends many
// calls as the entries of one batch puts them beside each entry; see [BeginEntry]
// for what the server makes of them. They hold a secret: never log them.
type Headers struct {
	ActorToken  string        // the end user's signed token, or "" where a service acts for itself
	Traceparent string        // the W3C traceparent of the caller, or ""
	Timeout     time.Duration // what the caller has left; 0 on a server: as much as the batch
}

// HeadersOf returns what a call under ctx would carry.
func HeadersOf(ctx context.Context) Headers {
	h := Headers{ActorToken: actor.TokenFrom(ctx), Traceparent: traceparentOf(ctx), Timeout: defaultDeadline}
	if deadline, ok := ctx.Deadline(); ok {
		h.Timeout = time.Until(deadline)
	}
	return h
}

// traceparentOf returns the traceparent of the span on ctx, or "" without one.
func traceparentOf(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceParent]
}

// ofTrace returns ctx with the span that traceparent names, and no other.
func ofTrace(ctx context.Context, traceparent string) context.Context {
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParent: traceparent})
}

// WithDeadline returns ctx with the deadline of calls that are given none, unless
// it has one.
func WithDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultDeadline)
}
