package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

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
	age, err := g.read(ctx, queueAgeGaugeSQL, g.age, g.store.owners...)
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
var queueAgeGaugeSQL = `-- store.queueAgeGauge
	select array[t.type], extract(epoch from clock_timestamp() - q.queued_at)::float8
	from ` + ownerColumns.unnest("t", 1) + `, lateral (
		select queued_at from operation_runs r
		where r.status = 'queued' and r.origin = 'live' and r.type = t.type order by queued_at limit 1) q`

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
