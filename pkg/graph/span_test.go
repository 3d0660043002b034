package graph

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Every attempt is a span of its own, and the token in none of them.
func TestSpans(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	var ids, traces []string
	again := failing(1, status(503))
	w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("client-request-id"))
		traces = append(traces, r.Header.Get("traceparent"))
		require.Equal(t, "tenantpilot", r.Header.Get("User-Agent"))
		again(rw, r)
	})
	ctx, parent := provider.Tracer("test").Start(t.Context(), "sync")
	_, err := w.Get(ctx, "/beta/x")
	require.NoError(t, err)
	parent.End()
	got := spans.GetSpans()
	require.Len(t, got, 3)
	for _, s := range got[:2] {
		require.Equal(t, parent.SpanContext().TraceID(), s.SpanContext.TraceID())
		for _, a := range s.Attributes {
			require.NotContains(t, a.Value.String(), "token-1")
		}
	}
	require.Len(t, ids, 2)
	require.NotEqual(t, ids[0], ids[1])
	for i := range traces {
		require.Contains(t, traces[i], got[i].SpanContext.SpanID().String())
	}
}
