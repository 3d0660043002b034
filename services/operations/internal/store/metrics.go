package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// metrics count what this process did to runs. Types and outcomes are labels;
// workspaces and tenants never are, there is no end of them.
type metrics struct {
	started  *prometheus.CounterVec
	finished *prometheus.CounterVec
	duration *prometheus.HistogramVec
	expired  *prometheus.CounterVec

	groupSize    *prometheus.HistogramVec
	groupSeconds *prometheus.HistogramVec
	groupRefused *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	return &metrics{
		started:  counter("tenantpilot_runs_started_total", "Runs created.", "type"),
		finished: counter("tenantpilot_runs_finished_total", "Runs completed, whoever ended them.", "type", "outcome"),
		duration: histogram("tenantpilot_run_duration_seconds", "From the first begin of a run to its end.",
			[]float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400}, "type", "outcome"),
		expired: counter("tenantpilot_lease_expired_total", "Leases that expired and cost their worker the run.", "type"),
		groupSize: histogram("tenantpilot_group_size", "Calls that shared a statement.",
			[]float64{1, 2, 4, 8, 16, 32, 64, 128, groupSize}, "statement"),
		groupSeconds: histogram("tenantpilot_group_seconds", "How long shared statements took, with their commit.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}, "statement"),
		groupRefused: counter("tenantpilot_group_refused_total", "Calls refused because too many waited.", "statement"),
	}
}

// known gives every type its series from the start: a rate needs the zero it grows from.
func (m *metrics) known(types run.Types) *metrics {
	for name := range types {
		m.started.WithLabelValues(name)
		m.expired.WithLabelValues(name)
		for _, outcome := range []run.Outcome{run.Succeeded, run.PartiallySucceeded, run.Failed, run.Cancelled} {
			m.finished.WithLabelValues(name, string(outcome))
		}
	}
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.started, m.finished, m.duration, m.expired, m.groupSize, m.groupSeconds, m.groupRefused}
}

// began counts the runs that an insert created; nil stands for none.
func (m *metrics) began(rows ...*row) {
	for _, r := range rows {
		if r != nil {
			m.start(&r.Run)
		}
	}
}

func (m *metrics) start(r *run.Run) { m.started.WithLabelValues(r.Type).Inc() }

// ended counts the runs that a completion ended; nil stands for none.
func (m *metrics) ended(rows ...*row) {
	for _, r := range rows {
		if r != nil {
			m.end(&r.Run)
		}
	}
}

func (m *metrics) end(r *run.Run) {
	m.finished.WithLabelValues(r.Type, string(r.Outcome)).Inc()
	if r.StartedAt != nil && r.CompletedAt != nil {
		m.duration.WithLabelValues(r.Type, string(r.Outcome)).Observe(r.CompletedAt.Sub(*r.StartedAt).Seconds())
	}
}

// moved counts the move e of r, which held a lease that had expired or not.
func (m *metrics) moved(r *run.Run, e *run.Event, expired bool) {
	if e.Kind == run.EventCompleted {
		m.end(r)
	}
	if expired && (e.Kind == run.EventRequeued || e.Kind == run.EventBegun || e.Actor == run.ReaperName) {
		m.expired.WithLabelValues(r.Type).Inc()
	}
}

// meter measures one kind of shared statement. A nil one measures nothing.
type meter struct {
	size, seconds prometheus.Observer
	refused       prometheus.Counter
}

func (m *metrics) meter(statement string) *meter {
	return &meter{
		size: m.groupSize.WithLabelValues(statement), seconds: m.groupSeconds.WithLabelValues(statement),
		refused: m.groupRefused.WithLabelValues(statement),
	}
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
