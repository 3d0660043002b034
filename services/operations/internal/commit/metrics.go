package commit

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics measure groups: how many calls share a statement, how long statements
// take, how many calls are refused, and how many wait.
type Metrics struct {
	size    *prometheus.HistogramVec
	seconds *prometheus.HistogramVec
	refused *prometheus.CounterVec
	waiting *prometheus.Desc

	mu      sync.Mutex
	lengths map[string]func() int // by the name of a group
}

// NewMetrics returns metrics of groups yet to be made.
func NewMetrics() *Metrics {
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"statement"})
	}
	return &Metrics{
		size: histogram("tenantpilot_group_size", "Calls that shared a statement.",
			[]float64{1, 2, 4, 8, 16, 32, 64, 128, Size}),
		seconds: histogram("tenantpilot_group_seconds", "How long shared statements took, with their commit.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tenantpilot_group_refused_total", Help: "Calls refused because too many waited."}, []string{"statement"}),
		waiting: prometheus.NewDesc("tenantpilot_group_waiting", "Calls waiting to share the next statement.", []string{"statement"}, nil),
		lengths: map[string]func() int{},
	}
}

// Describe is part of [prometheus.Collector].
func (m *Metrics) Describe(descs chan<- *prometheus.Desc) {
	m.size.Describe(descs)
	m.seconds.Describe(descs)
	m.refused.Describe(descs)
	descs <- m.waiting
}

// Collect is part of [prometheus.Collector].
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	m.size.Collect(metrics)
	m.seconds.Collect(metrics)
	m.refused.Collect(metrics)
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, length := range m.lengths {
		metrics <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(length()), name)
	}
}

// meter measures one group. A nil meter measures nothing.
type meter struct {
	size, seconds prometheus.Observer
	refused       prometheus.Counter
}

// meter returns the meter of the group called name, in which length calls wait.
func (m *Metrics) meter(name string, length func() int) *meter {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lengths[name] = length
	return &meter{size: m.size.WithLabelValues(name), seconds: m.seconds.WithLabelValues(name), refused: m.refused.WithLabelValues(name)}
}

func (m *meter) flushed(size int, since time.Time) {
	if m != nil {
		m.size.Observe(float64(size))
		m.seconds.Observe(time.Since(since).Seconds())
	}
}

func (m *meter) refuse() {
	if m != nil {
		m.refused.Inc()
	}
}
