package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/measure"
	"github.com/tenantpilot/tenantpilot/services/gateway"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// round runs the watchers and the worker.
func (w *world) round(ctx context.Context) (*result, error) {
	a := newAudience(w)
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	leave, err := a.gather(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { giveUp(); _ = leave() }() // both are done already, unless something failed
	l := &load{
		world: w, client: operationsv1.NewRunServiceClient(w.runs), name: strconv.FormatInt(time.Now().UnixNano(), 36),
		begun: a.opened,
	}
	r := &result{warm: time.Now().Add(w.opts.life), load: measure.LoadAverage()}
	if err := w.measured(ctx, l, r); err != nil {
		return nil, err
	}
	if err := a.wait(ctx, &a.ended, int64(len(l.runs)*w.opts.streams)); err != nil {
		r.note = fmt.Sprintf("ends of runs seen on streams: %v", err)
	}
	if err := leave(); err != nil {
		return nil, err
	}
	r.most = a.most.Load()
	events, err := w.events(ctx, l.runs)
	if err != nil {
		return nil, err
	}
	r.compare(l.runs, a.views, events)
	return r, nil
}

// measured runs the worker, and measures usage from the end of the warm-up.
func (w *world) measured(ctx context.Context, l *load, r *result) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.work(ctx, w.opts.life+w.opts.length) })
	group.Go(func() (err error) {
		if err := until(ctx, r.warm); err != nil {
			return err
		}
		r.spent, err = w.spending(ctx)
		return err
	})
	return group.Wait()
}

// spending returns what the processes use during the measured part.
func (w *world) spending(ctx context.Context) (map[string]usage, error) {
	before, err := w.usages(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	group, within := errgroup.WithContext(ctx)
	if w.opts.profile != "" {
		for _, name := range []string{gateway.Name, operations.Name} {
			group.Go(func() error {
				return measure.Profile(within, w.fleet[name].admin, w.opts.length-time.Second, filepath.Join(w.opts.profile, name+".pprof"))
			})
		}
	}
	group.Go(func() error { return until(within, begin.Add(w.opts.length)) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	after, err := w.usages(ctx)
	if err != nil {
		return nil, err
	}
	for name, u := range after {
		u.cpu = (u.cpu - before[name].cpu) / time.Since(begin).Seconds()
		after[name] = u
	}
	return after, nil
}

// watchersName is this process among the others.
const watchersName = "watchers and worker"

func (w *world) usages(ctx context.Context) (map[string]usage, error) {
	all := map[string]usage{}
	for _, name := range []string{gateway.Name, operations.Name} {
		u, err := w.fleet[name].usage(ctx)
		if err != nil {
			return nil, err
		}
		all[name] = u
	}
	all[watchersName] = usage{cpu: measure.OwnTime().Seconds()}
	return all, nil
}

// happened is the time of a run's first and last event, by the database's clock.
type happened struct{ started, ended time.Time }

const readEvents = `select run_id, min(event_time), max(event_time) from run_event where run_id = any($1) group by run_id`

func (w *world) events(ctx context.Context, runs []*run) (all map[int64]happened, err error) {
	db, err := pgx.Connect(ctx, w.postgres.As("postgres", operations.Name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close(ctx)) }()
	var ids []int64
	for _, r := range runs {
		ids = append(ids, r.id)
	}
	rows, err := db.Query(ctx, readEvents, ids)
	if err != nil {
		return nil, err
	}
	all = map[int64]happened{}
	var id int64
	var h happened
	_, err = pgx.ForEachRow(rows, []any{&id, &h.started, &h.ended}, func() error { all[id] = h; return nil })
	return all, err
}
