package obs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// startTelemetry sets the global providers as the OTEL_* variables say; with
// none of them set, nothing is exported, and only /metrics is served. stop
// sends what is still held.
func startTelemetry(ctx context.Context, name string) (stop func() error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return func() error { return nil }, nil
	}
	res, err := resourceOf(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	traces, err := startTraces(ctx, res)
	if err != nil {
		return nil, fmt.Errorf("telemetry: traces: %w", err)
	}
	metrics, err := startMetrics(ctx, res)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("telemetry: metrics: %w", err), traces(ctx))
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(traces(ctx), metrics(ctx))
	}, nil
}

// resourceOf returns the name of the process for traces and metrics.
// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over it.
func resourceOf(ctx context.Context, name string) (*resource.Resource, error) {
	return resource.New(ctx, resource.WithAttributes(attribute.String("service.name", name)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
}

func startTraces(ctx context.Context, res *resource.Resource) (stop func(context.Context) error, err error) {
	if !Asked("TRACES") {
		return func(context.Context) error { return nil }, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, err
	}
	p := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(res))
	otel.SetTracerProvider(p)
	return p.Shutdown, nil
}

func startMetrics(ctx context.Context, res *resource.Resource) (stop func(context.Context) error, err error) {
	scraped, err := prometheus.New()
	if err != nil {
		return nil, err
	}
	opts := []metric.Option{metric.WithReader(scraped), metric.WithResource(res)}
	if Asked("METRICS") {
		sent, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return nil, err
		}
		opts = append(opts, metric.WithReader(sent))
	}
	p := metric.NewMeterProvider(opts...)
	otel.SetMeterProvider(p)
	return p.Shutdown, nil
}

// Asked reports whether the environment wants signal (TRACES, METRICS) sent somewhere. The
// standard's default is to send to localhost; ours is silence.
func Asked(signal string) bool {
	for _, name := range []string{"OTEL_" + signal + "_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}
