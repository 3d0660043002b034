package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// paced is the service at a fixed rate of starts a second. Each run is completed some time
// later. Times begin when a call is due: so a slow call also shows in the times of the calls
// that wait behind it.
type paced struct {
	rate   float64
	active int     // number of runs that send heartbeats meanwhile
	beats  float64 // heartbeats a second of all of them
}

// runFor is how long each run of an open-loop turn runs.
const runFor = 500 * time.Millisecond

func (o paced) play(ctx context.Context, t *turn) (s score, err error) {
	svc, err := t.serve(ctx, callersPerConn)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	p, err := newPlayer(svc)
	if err != nil {
		return s, err
	}
	alive, err := p.activate(ctx, o.active)
	if err != nil {
		return s, err
	}
	if err := o.run(ctx, p, &stopwatch{}, alive, t.opts.open/warmUp); err != nil {
		return s, err
	}
	before, err := t.leaseUpdates(ctx, 0)
	if err != nil {
		return s, err
	}
	s, err = t.timed(ctx, svc.pid(), func() (tally, error) {
		watch, begin := &stopwatch{}, time.Now()
		err := o.run(ctx, p, watch, alive, t.opts.open)
		return tally{runs: len(watch.times) / 2, elapsed: time.Since(begin), times: watch.times}, err
	})
	if err != nil {
		return s, err
	}
	if o.beats > 0 {
		after, err := t.leaseUpdates(ctx, before.All+int64(o.beats*t.opts.open.Seconds()))
		if err != nil {
			return s, err
		}
		s.hot = float64(after.Hot-before.Hot) / float64(after.All-before.All)
	}
	return s, p.audit(ctx, t)
}

// run makes the load: runs, and the heartbeats of the runs alive.
func (o paced) run(ctx context.Context, p *player, watch *stopwatch, alive []*operationsv1.Run, length time.Duration) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return pace(ctx, o.rate, length, func(ctx context.Context, n int, due time.Time) error { return p.paced(ctx, watch, n, due) })
	})
	if o.beats > 0 {
		group.Go(func() error {
			return pace(ctx, o.beats, length, func(ctx context.Context, n int, _ time.Time) error { return p.beat(ctx, n, alive) })
		})
	}
	return group.Wait()
}

// paced does one run. Its start is due now, and its end runFor later.
func (p *player) paced(ctx context.Context, watch *stopwatch, n int, due time.Time) error {
	r, err := p.start(ctx, n, "bench")
	if err != nil {
		return err
	}
	watch.since(due)
	timer := time.NewTimer(0)
	defer timer.Stop()
	due = due.Add(runFor)
	if err := until(ctx, timer, due); err != nil {
		return err
	}
	if err := p.complete(ctx, n, r); err != nil {
		return err
	}
	watch.since(due)
	return nil
}

// beat sends the heartbeat of the next run.
func (p *player) beat(ctx context.Context, n int, alive []*operationsv1.Run) error {
	r := alive[n%len(alive)]
	_, err := p.service.runs(n).ReportProgress(ctx, &operationsv1.ReportProgressRequest{
		RunId: r.Id, LeaseEpoch: r.LeaseEpoch, SummaryCounts: map[string]int64{"total": 60, "processed": int64(n)},
	})
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

// activate starts n runs that stay active.
func (p *player) activate(ctx context.Context, n int) ([]*operationsv1.Run, error) {
	runs := make([]*operationsv1.Run, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(callersPerConn)
	for i := range runs {
		group.Go(func() (err error) { runs[i], err = p.start(ctx, i, "bench"); return err })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, r := range runs {
		p.begun = append(p.begun, r.Id)
	}
	return runs, nil
}

// updates are PostgreSQL's counts of updates.
type updates struct{ All, Hot int64 }

const leaseUpdates = `select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'run_lease'`

// leaseUpdates returns the counts of updates of leases. Backends report them with a delay, so
// it waits until there are at least so many.
func (t *turn) leaseUpdates(ctx context.Context, atLeast int64) (u updates, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	db, err := pgx.Connect(ctx, t.postgres.As("postgres", t.database))
	if err != nil {
		return u, err
	}
	defer func() { _ = db.Close(ctx) }() // it was only read from
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := db.QueryRow(ctx, leaseUpdates).Scan(&u.All, &u.Hot); err != nil || u.All >= atLeast {
			return u, err
		}
		if err := until(ctx, timer, time.Now().Add(200*time.Millisecond)); err != nil {
			return u, fmt.Errorf("%d of %d updates of leases were counted: %w", u.All, atLeast, err)
		}
	}
}
