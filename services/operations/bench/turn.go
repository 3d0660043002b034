package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
)

// work is what a load did.
type work struct {
	runs    int
	elapsed time.Duration
	times   []time.Duration // of each run, or of each call at a fixed rate
}

// score is what was measured in one turn.
type score struct {
	work
	commits, wal              int64
	service, postgres, client time.Duration // CPU time
	load                      float64       // of the machine, before
	hot                       float64       // of the updates of leases, in an open-loop turn with heartbeats
}

func (s score) rate() float64 { return float64(s.runs) / s.elapsed.Seconds() }

// at is the time that p of all calls took at most; times are sorted.
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

// counters are what only ever grows.
type counters struct {
	commits, wal              int64
	service, postgres, client time.Duration
}

// Transaction ids are given to what writes only, and need no waiting for the
// statistics of idle backends.
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

// timed is what f costs, with the service of process id service, if not 0.
func (t *turn) timed(ctx context.Context, service int, f func() (work, error)) (score, error) {
	s := score{load: measure.LoadAverage()}
	before, err := t.counters(ctx, service)
	if err != nil {
		return s, err
	}
	if s.work, err = f(); err != nil {
		return s, err
	}
	after, err := t.counters(ctx, service)
	s.commits, s.wal = after.commits-before.commits, after.wal-before.wal
	s.service, s.postgres, s.client = after.service-before.service, after.postgres-before.postgres, after.client-before.client
	slices.Sort(s.times)
	return s, err
}

// rowsPerRun is how many rows of each table a run added: the peer that writes
// the same rows must come out the same.
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

// number is the one number that query answers on database.
func (w *world) number(ctx context.Context, database, query string, args ...any) (n int64, err error) {
	db, err := pgx.Connect(ctx, w.postgres.As("postgres", database))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close(ctx) }() // only read from
	if err := db.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", query, err)
	}
	return n, nil
}
