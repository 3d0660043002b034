package pg

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics returns measurements of db: how many connections there are, and how
// often and how long a caller waited for one.
func Metrics(db *pgxpool.Pool) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("tenantpilot_db_pool_"+name, help, nil, nil)
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return &poolMetrics{db: db, read: []poolMetric{
		{desc("max_connections", "Connections there may be."), gauge, func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) }},
		{desc("connections", "Connections there are."), gauge, func(s *pgxpool.Stat) float64 { return float64(s.TotalConns()) }},
		{desc("used_connections", "Connections in use."), gauge, func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) }},
		{desc("connects_total", "Connections made."), counter, func(s *pgxpool.Stat) float64 { return float64(s.NewConnsCount()) }},
		{desc("acquires_total", "Connections handed out."), counter, func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) }},
		{desc("waits_total", "Times that none was free."), counter, func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) }},
		{desc("wait_seconds_total", "Time spent waiting because none was free."), counter, func(s *pgxpool.Stat) float64 { return s.EmptyAcquireWaitTime().Seconds() }},
		{desc("abandoned_waits_total", "Waits whose caller went away."), counter, func(s *pgxpool.Stat) float64 { return float64(s.CanceledAcquireCount()) }},
	}}
}

type poolMetrics struct {
	db   *pgxpool.Pool
	read []poolMetric
}

type poolMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*pgxpool.Stat) float64
}

// Describe is part of [prometheus.Collector].
func (p *poolMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range p.read {
		descs <- m.desc
	}
}

// Collect is part of [prometheus.Collector].
func (p *poolMetrics) Collect(metrics chan<- prometheus.Metric) {
	stat := p.db.Stat()
	for _, m := range p.read {
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(stat))
	}
}
