package e2e

import (
	"flag"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// spans holds the spans that the services of this process export.
var spans = tracetest.NewInMemoryExporter()

func TestMain(m *testing.M) {
	// These tests mostly wait: for retries, leases and clocks.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	os.Exit(m.Run())
}

// One trace has spans of the gateway, inventory, operations, their SQL, and the worker's calls
// to Graph.
func TestOneTraceCrossesTheFleet(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true})
	traceID := trace.TraceID{0xab, 0xcd, 1, 2, 3}
	req, err := http.NewRequestWithContext(t.Context(), "POST", f.api.base+f.tenantPath("inventory:sync"), strings.NewReader(`{"types":["configurationPolicies"]}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+f.api.token)
	req.Header.Set("Traceparent", "00-"+traceID.String()+"-1122334455667788-01")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)

	wanted := []string{
		"POST", // the gateway's own span
		"tenantpilot.inventory.v1.InventoryService/StartSync",
		"tenantpilot.operations.v1.RunService/StartRun",
		"store.insertRuns",
		"run inventory_sync",
		"tenantpilot.tenancy.v1.GraphTokenService/IssueGraphToken",
		"graph",
		"tenantpilot.operations.v1.RunService/CompleteRun",
		"store.completeRunning",
	}
	var names []string
	require.Eventually(t, func() bool {
		names = traced(traceID)
		return !slices.ContainsFunc(wanted, func(want string) bool { return !has(names, want) })
	}, 30*time.Second, 100*time.Millisecond, "the trace holds %v", &names)
}

// traced returns the names of the spans of one trace; calls to Graph are named "graph".
func traced(id trace.TraceID) []string {
	var names []string
	for _, s := range spans.GetSpans() {
		if s.SpanContext.TraceID() != id {
			continue
		}
		name := s.Name
		for _, a := range s.Attributes {
			if (a.Key == "url.full" || a.Key == "http.url") && strings.Contains(a.Value.String(), "/deviceManagement/") {
				name = "graph"
			}
		}
		names = append(names, name)
	}
	return names
}

func has(names []string, want string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return name == want || strings.HasPrefix(name, want+" ") })
}
