package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// riverPlayer is River with its fastest settings. A job is inserted, and its worker completes
// it in a transaction of its own.
type riverPlayer struct{ inserters, workers, conns int }

type jobArgs struct {
	Context string `json:"context"`
}

func (jobArgs) Kind() string { return runType }

type worker struct {
	river.WorkerDefaults[jobArgs]
	db    *pgxpool.Pool
	ended atomic.Int64
	ready chan struct{} // receives after each end, if somebody waits
}

func (w *worker) Work(ctx context.Context, job *river.Job[jobArgs]) error {
	err := pgx.BeginFunc(ctx, w.db, func(tx pgx.Tx) error {
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
	if err == nil {
		w.ended.Add(1)
		select {
		case w.ready <- struct{}{}:
		default:
		}
	}
	return err
}

func (r riverPlayer) play(ctx context.Context, t *turn) (s score, err error) {
	cfg, err := pgxpool.ParseConfig(t.postgres.As("postgres", t.database))
	if err != nil {
		return s, err
	}
	cfg.MaxConns = int32(r.conns) //nolint:gosec // a small number
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return s, err
	}
	defer db.Close()
	w := &worker{db: db, ready: make(chan struct{}, 1)}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	client, err := river.NewClient(riverpgxv5.New(db), &river.Config{
		Workers: workers, Logger: slog.New(slog.DiscardHandler),
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: r.workers, FetchCooldown: 10 * time.Millisecond}},
	})
	if err != nil {
		return s, err
	}
	if err := client.Start(ctx); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, client.Stop(context.WithoutCancel(ctx))) }()
	s, err = r.measure(ctx, t, client, w)
	if err != nil {
		return s, err
	}
	found, err := t.number(ctx, t.database, "select count(*) from river_job where state = 'completed'")
	if err == nil && found != w.ended.Load() {
		err = fmt.Errorf("audit: %d jobs ended, %d are completed", w.ended.Load(), found)
	}
	return s, err
}

// measure inserts jobs for the length of the turn, and measures until the last job has ended:
// jobs that are left over must not count.
func (r riverPlayer) measure(ctx context.Context, t *turn, client *river.Client[pgx.Tx], w *worker) (score, error) {
	insert := func(ctx context.Context, _ int) error {
		_, err := client.Insert(ctx, jobArgs{Context: contextJSON}, nil)
		return err
	}
	inserted := int64(0)
	load := func(length time.Duration) (tally, error) {
		begin := time.Now()
		done, err := closed(ctx, r.inserters, length, 1, insert)
		inserted += int64(done.runs)
		for err == nil && w.ended.Load() < inserted {
			select {
			case <-w.ready:
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		return tally{runs: done.runs, elapsed: time.Since(begin)}, err // without times: an insert does not last as long as a job
	}
	if _, err := load(t.opts.length / warmUp); err != nil {
		return score{}, err
	}
	return t.timed(ctx, 0, func() (tally, error) { return load(t.opts.length) })
}
