package rpc

import (
	"context"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
)

// observed reports whether somebody collects the spans and measurements of calls.
// Making them for nobody costs as much as everything else this package does
// around a call.
func observed() bool { return traced() || obs.Asked("METRICS") }

// traced reports whether somebody collects spans: whether the tracer provider is
// another one than the default.
func traced() bool {
	_, flushes := otel.GetTracerProvider().(interface{ ForceFlush(context.Context) error })
	return flushes
}

func observeServer() []grpc.ServerOption {
	if !observed() {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithFilter(filters.Not(filters.HealthCheck()))))}
}

func observeClient() []grpc.DialOption {
	if !observed() {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(otelgrpc.WithFilter(filters.Not(filters.HealthCheck()))))}
}

// traceParent is the metadata key that a trace travels under.
const traceParent = "traceparent"

// inTrace puts the caller's trace on ctx, unless a span of ours is there already.
func inTrace(ctx context.Context) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	said := metadata.ValueFromIncomingContext(ctx, traceParent)
	if len(said) != 1 {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParent: said[0]})
}

// withTrace passes the trace of ctx on; a span of the call itself, if one is
// made, takes its place.
func withTrace(ctx context.Context) context.Context {
	parent := traceparentOf(ctx)
	if parent == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, traceParent, parent)
}
