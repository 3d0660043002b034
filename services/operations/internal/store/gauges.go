package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	gaugesFor     = 10 * time.Second // how old an answer of the database may be
	gaugesWithin  = 2 * time.Second  // how long a scrape waits for it
	gaugesCounted = 10_000           // runs; more are not counted
)

// Metrics answers what this process did, and how the store stands. Every
// replica answers the same about the store: take the maximum, not the sum.
func (s *Store) Metrics() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &gauges{
		store:   s,
		active:  desc("tenantpilot_runs_active", "Runs queued or running; beyond 10000 they are not counted.", "type", "status"),
		age:     desc("tenantpilot_run_queue_age_seconds", "How long the oldest queued run has waited.", "type"),
		waiting: desc("tenantpilot_group_waiting", "Calls waiting to share the next statement.", "statement"),
	}
}

// gauges asks the database when it is scraped, but not more often than every
// gaugesFor; while the database does not answer there are no gauges of it.
type gauges struct {
	store                *Store
	active, age, waiting *prometheus.Desc

	mu    sync.Mutex
	asked time.Time
	known []prometheus.Metric
}

// Describe is part of [prometheus.Collector].
func (g *gauges) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range g.store.metrics.collectors() {
		c.Describe(descs)
	}
	for _, d := range []*prometheus.Desc{g.active, g.age, g.waiting} {
		descs <- d
	}
}

// Collect is part of [prometheus.Collector].
func (g *gauges) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range g.store.metrics.collectors() {
		c.Collect(metrics)
	}
	for statement, n := range g.store.waiting() {
		metrics <- prometheus.MustNewConstMetric(g.waiting, prometheus.GaugeValue, float64(n), statement)
	}
	for _, m := range g.stored() {
		metrics <- m
	}
}

// stored answers the gauges of the database, fresh enough.
func (g *gauges) stored() []prometheus.Metric {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.asked) < gaugesFor {
		return g.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), gaugesWithin)
	defer cancel()
	g.asked, g.known = time.Now(), nil
	active, err := g.read(ctx, gaugeActive, g.active, gaugesCounted)
	if err != nil {
		return nil
	}
	age, err := g.read(ctx, gaugeQueueAge, g.age, g.store.owners.types)
	if err != nil {
		return nil
	}
	g.known = append(active, age...)
	return g.known
}

// Served by run_one_active_per_identity, whose predicate it repeats.
const gaugeActive = `-- store.gaugeActive
	select array[type, status], count(*)::float8
	from (select type, status from operation_runs where status <> 'completed' and origin = 'live' limit $1) active
	group by type, status`

// One step down run_queued per type.
const gaugeQueueAge = `-- store.gaugeQueueAge
	select array[t.type], extract(epoch from clock_timestamp() - q.queued_at)::float8
	from unnest($1::text[]) t (type), lateral (
		select queued_at from operation_runs r
		where r.status = 'queued' and r.origin = 'live' and r.type = t.type order by queued_at limit 1) q`

// read answers a gauge for each row: its labels, and its value.
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

// waiting answers how many calls wait for each kind of statement.
func (s *Store) waiting() map[string]int {
	return map[string]int{
		"start": s.starts.length(), "begin": s.begins.length(), "progress": s.reports.length(), "complete": s.completes.length(),
	}
}

func (g *group[Q, A]) length() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
