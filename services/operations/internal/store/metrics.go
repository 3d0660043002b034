package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
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

const (
	gaugesFor     = 10 * time.Second // how old a value read from the database may be
	gaugesWithin  = 2 * time.Second  // how long a scrape waits for the database
	gaugesCounted = 10_000           // active runs that are counted at most
)

// Metrics returns counters of what this process did and gauges of what is in the
// database. All replicas report the same gauges: take their maximum, not their sum.
func (s *Store) Metrics() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &gauges{
		store:  s,
		active: desc("tenantpilot_runs_active", "Runs queued or running; beyond 10000 they are not counted.", "type", "status"),
		age:    desc("tenantpilot_run_queue_age_seconds", "How long the oldest queued run has waited.", "type"),
	}
}

// gauges reads the database when it is scraped, but at most once in gaugesFor. If
// that fails, it reports no gauges until it succeeds.
type gauges struct {
	store       *Store
	active, age *prometheus.Desc

	mu     sync.Mutex
	readAt time.Time
	known  []prometheus.Metric
}

// Describe is part of [prometheus.Collector].
func (g *gauges) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range g.store.metrics.collectors() {
		c.Describe(descs)
	}
	for _, d := range []*prometheus.Desc{g.active, g.age} {
		descs <- d
	}
}

// Collect is part of [prometheus.Collector].
func (g *gauges) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range g.store.metrics.collectors() {
		c.Collect(metrics)
	}
	for _, m := range g.stored() {
		metrics <- m
	}
}

// stored returns the gauges of the database, at most gaugesFor old.
func (g *gauges) stored() []prometheus.Metric {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.readAt) < gaugesFor {
		return g.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), gaugesWithin)
	defer cancel()
	g.readAt, g.known = time.Now(), nil
	active, err := g.read(ctx, activeGaugeSQL, g.active, gaugesCounted)
	if err != nil {
		return nil
	}
	age, err := g.read(ctx, queueAgeGaugeSQL.text, g.age, queueAgeGaugeSQL.arguments(g.store.typeList)...)
	if err != nil {
		return nil
	}
	g.known = append(active, age...)
	return g.known
}

// Repeats the predicate of the index run_one_active_per_identity, so as to use it.
const activeGaugeSQL = `-- store.activeGauge
	select array[type, status], count(*)::float8
	from (select type, status from operation_runs where status <> 'completed' and origin = 'live' limit $1) active
	group by type, status`

// Reads one entry of the index run_queued for each type.
var queueAgeGaugeSQL = build(func(b *builder[[]run.Type]) string {
	t := rowsOf(b, ownerColumns, func(types []run.Type) []run.Type { return types })
	return `-- store.queueAgeGauge
	select array[t.type], extract(epoch from clock_timestamp() - q.queued_at)::float8
	from ` + t.as("t") + `, lateral (
		select queued_at from operation_runs r
		where r.status = 'queued' and r.origin = 'live' and r.type = t.type order by queued_at limit 1) q`
})

// read returns a gauge for each row of sql: an array of labels, and a value.
func (g *gauges) read(ctx context.Context, sql string, desc *prometheus.Desc, args ...any) ([]prometheus.Metric, error) {
	rows, err := g.store.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (prometheus.Metric, error) {
		var labels []string
		var value float64
		if err := row.Scan(&labels, &value); err != nil {
			return nil, err
		}
		return prometheus.NewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	})
}
