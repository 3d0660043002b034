package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
)

// tally is what a load has done.
type tally struct {
	runs    int
	elapsed time.Duration
	times   []time.Duration // of each run, or of each call at a fixed rate
}

// score is what one turn measured.
type score struct {
	tally
	commits, wal              int64
	service, postgres, client time.Duration // CPU time
	load                      float64       // of the machine, before the turn
	hot                       float64       // the share of HOT updates of leases, in a turn with heartbeats
}

func (s score) rate() float64 { return float64(s.runs) / s.elapsed.Seconds() }

// at returns the quantile p of the times, which are sorted.
func (s score) at(p float64) time.Duration {
	if len(s.times) == 0 {
		return 0
	}
	return s.times[min(int(p*float64(len(s.times))), len(s.times)-1)]
}

// turn is one measurement on a database of its own.
type turn struct {
	*world
	name     string
	database string
}

// counters are numbers that only grow.
type counters struct {
	commits, wal              int64
	service, postgres, client time.Duration
}

// It counts commits by transaction ids: only a transaction that writes has one, and they need
// no wait for the statistics of backends.
const readCounters = `select pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`

func (t *turn) counters(ctx context.Context, service int) (c counters, err error) {
	if err := t.admin.QueryRow(ctx, readCounters).Scan(&c.commits, &c.wal); err != nil {
		return c, err
	}
	if c.postgres, err = measure.FamilyTime(t.postgres.Pid()); err != nil {
		return c, err
	}
	if service != 0 {
		if c.service, err = measure.FamilyTime(service); err != nil {
			return c, err
		}
	}
	c.client = measure.OwnTime() + measure.ChildTime()
	return c, nil
}

// timed runs f and returns its score, with the CPU time of process service if that is not 0.
func (t *turn) timed(ctx context.Context, service int, f func() (tally, error)) (score, error) {
	s := score{load: measure.LoadAverage()}
	before, err := t.counters(ctx, service)
	if err != nil {
		return s, err
	}
	if s.tally, err = f(); err != nil {
		return s, err
	}
	after, err := t.counters(ctx, service)
	s.commits, s.wal = after.commits-before.commits, after.wal-before.wal
	s.service, s.postgres, s.client = after.service-before.service, after.postgres-before.postgres, after.client-before.client
	slices.Sort(s.times)
	return s, err
}

// rowsPerRun returns how many rows of each table a run has added. It is the same for the peer
// that writes the same rows.
func (t *turn) rowsPerRun(ctx context.Context) (map[string]float64, error) {
	gained := map[string]float64{}
	for _, table := range []string{"operation_runs", "run_lease", "run_event", "run_request", "run_label"} {
		n, err := t.count(ctx, t.database, table)
		if err != nil {
			return nil, err
		}
		was, err := t.count(ctx, runsTemplate, table)
		if err != nil {
			return nil, err
		}
		gained[table] = float64(n - was)
	}
	for table := range gained {
		if table != "operation_runs" {
			gained[table] /= gained["operation_runs"]
		}
	}
	delete(gained, "operation_runs")
	return gained, nil
}

func (w *world) count(ctx context.Context, database, table string) (n int64, err error) {
	return w.number(ctx, database, "select count(*) from "+pgx.Identifier{table}.Sanitize())
}

// number returns the one number that a query selects.
func (w *world) number(ctx context.Context, database, query string, args ...any) (n int64, err error) {
	db, err := pgx.Connect(ctx, w.postgres.As("postgres", database))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close(ctx) }() // it was only read from
	if err := db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", query, err)
	}
	return n, nil
}
