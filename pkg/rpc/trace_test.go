package rpc

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

// A run keeps the trace it was started in, whether or not this process sends spans.
func TestATraceCrossesAProcessThatMakesNoSpans(t *testing.T) {
	t.Parallel()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	said, _ := metadata.FromOutgoingContext(withTrace(trace.ContextWithSpanContext(t.Context(), span)))
	heard := inTrace(metadata.NewIncomingContext(t.Context(), said))
	require.Equal(t, span.WithRemote(true), trace.SpanContextFromContext(heard))

	own := trace.ContextWithSpanContext(metadata.NewIncomingContext(t.Context(), said), span.WithSpanID(trace.SpanID{3}))
	require.Equal(t, own, inTrace(own), "a span of ours knows better")

	said, _ = metadata.FromOutgoingContext(withTrace(t.Context()))
	require.Empty(t, said)
	for _, bad := range [][]string{nil, {"x"}, {"", ""}} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{traceParent: bad})
		require.False(t, trace.SpanContextFromContext(inTrace(ctx)).IsValid(), bad)
	}
}
