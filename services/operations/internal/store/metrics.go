package store

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// metrics count what this process did to runs. Types and outcomes are labels.
// Workspaces and tenants are not: there is no bound on their number.
type metrics struct {
	started  *prometheus.CounterVec
	finished *prometheus.CounterVec
	duration *prometheus.HistogramVec
	expired  *prometheus.CounterVec

	groups *commit.Metrics
}

// newMetrics returns metrics with a series for each of types. They begin at zero,
// from which a rate can be computed once they grow.
func newMetrics(types run.Types) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &metrics{
		started:  counter("tenantpilot_runs_started_total", "Runs created.", "type"),
		finished: counter("tenantpilot_runs_finished_total", "Runs completed, whoever ended them.", "type", "outcome"),
		duration: histogram("tenantpilot_run_duration_seconds", "From the first begin of a run to its end.",
			[]float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400}, "type", "outcome"),
		expired: counter("tenantpilot_lease_expired_total", "Leases that expired and cost their worker the run.", "type"),
		groups:  commit.NewMetrics(),
	}
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
	return []prometheus.Collector{m.started, m.finished, m.duration, m.expired, m.groups}
}

// countStarts counts the runs that a statement created; nil stands for none.
func (m *metrics) countStarts(rows []*row) {
	for _, r := range rows {
		if r != nil {
			m.countStart(&r.Run)
		}
	}
}

func (m *metrics) countStart(r *run.Run) { m.started.WithLabelValues(r.Type).Inc() }

// countEnds counts the runs that a statement completed; nil stands for none.
func (m *metrics) countEnds(rows []*row) {
	for _, r := range rows {
		if r != nil {
			m.countEnd(&r.Run)
		}
	}
}

func (m *metrics) countEnd(r *run.Run) {
	m.finished.WithLabelValues(r.Type, string(r.Outcome)).Inc()
	if r.StartedAt != nil && r.CompletedAt != nil {
		m.duration.WithLabelValues(r.Type, string(r.Outcome)).Observe(r.CompletedAt.Sub(*r.StartedAt).Seconds())
	}
}

// countMove counts the move e of r. Expired says whether the lease had expired
// before it.
func (m *metrics) countMove(r *run.Run, e *run.Event, expired bool) {
	if e.Kind == run.EventCompleted {
		m.countEnd(r)
	}
	if expired && (e.Kind == run.EventRequeued || e.Kind == run.EventBegun || e.Actor == run.ReaperName) {
		m.expired.WithLabelValues(r.Type).Inc()
	}
}
