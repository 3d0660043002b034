package rpc

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// methodMetrics are the series of one method, found once: labels are looked up
// only for the code a call ended with.
type methodMetrics struct {
	started prometheus.Counter
	seconds prometheus.Observer
	handled *prometheus.CounterVec
}

// count counts a call as ended with code.
func (c *call) count(code codes.Code) {
	c.method.metrics.seconds.Observe(time.Since(c.start).Seconds())
	c.method.metrics.handled.WithLabelValues(code.String()).Inc()
}

// measure gives every method its series, under the names that dashboards for
// gRPC servers know. Health and reflection have none.
func (s *Server) measure() error {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	started := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "grpc_server_started_total", Help: "Calls begun.",
	}, labels)
	handled := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "grpc_server_handled_total", Help: "Calls ended, by code.",
	}, append(labels, "grpc_code"))
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "grpc_server_handling_seconds", Help: "How long calls took.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, labels)
	for name, m := range s.methods {
		method := prometheus.Labels{"grpc_type": m.kind(), "grpc_service": serviceName(name), "grpc_method": string(m.desc.Name())}
		m.metrics = methodMetrics{started: started.With(method), seconds: seconds.With(method), handled: handled.MustCurryWith(method)}
	}
	return errors.Join(s.registry.Register(started), s.registry.Register(handled), s.registry.Register(seconds))
}

func (m *method) kind() string {
	switch {
	case m.desc.IsStreamingClient() && m.desc.IsStreamingServer():
		return "bidi_stream"
	case m.desc.IsStreamingClient():
		return "client_stream"
	case m.desc.IsStreamingServer():
		return "server_stream"
	}
	return "unary"
}
