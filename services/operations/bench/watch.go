package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// watched is the service with many watchers of a workspace in which a few runs a second start
// and end. Times begin at the time of an event, by the database's clock, and end when a
// watcher has it.
type watched struct {
	watchers int
	rate     float64 // runs a second
}

// maxWatchersPerConn is how many watchers share a connection.
const maxWatchersPerConn = 200

func (o watched) play(ctx context.Context, t *turn) (s score, err error) {
	svc, err := t.serve(ctx, (1+o.watchers/maxWatchersPerConn)*callersPerConn)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	p, err := newPlayer(svc)
	if err != nil {
		return s, err
	}
	watching, leave := context.WithCancel(ctx)
	streams, watching := errgroup.WithContext(watching)
	defer func() {
		leave()
		if left := streams.Wait(); err == nil && !errors.Is(left, context.Canceled) {
			err = left
		}
	}()
	seen := &sightings{news: make(chan struct{}, 1)}
	for n := range o.watchers {
		streams.Go(func() error { return seen.watch(watching, svc, n) })
	}
	if err := seen.wait(ctx, &seen.ready, int64(o.watchers)); err != nil {
		return s, fmt.Errorf("watchers: %w", err)
	}
	s, err = t.timed(ctx, svc.pid(), func() (tally, error) {
		begin := time.Now()
		err := pace(ctx, o.rate, t.opts.open, func(ctx context.Context, n int, due time.Time) error { return p.paced(ctx, &stopwatch{}, n, due) })
		if err == nil {
			err = seen.wait(ctx, &seen.events, int64(2*len(p.ended)*o.watchers)) // no watcher may miss one
		}
		return tally{runs: len(p.ended), elapsed: time.Since(begin), times: seen.clock.times}, err
	})
	if err != nil {
		return s, err
	}
	return s, p.audit(ctx, t)
}

// sightings are what all watchers have seen.
type sightings struct {
	ready  atomic.Int64 // watchers that have their snapshot
	events atomic.Int64
	clock  stopwatch
	news   chan struct{}
}

func (s *sightings) watch(ctx context.Context, svc *service, n int) error {
	conn := svc.conns[n%len(svc.conns)]
	stream, err := operationsv1.NewRunReaderServiceClient(conn).WatchRuns(ctx, &operationsv1.WatchRunsRequest{WorkspaceId: 1})
	if err != nil {
		return err
	}
	ready := false
	for {
		told, err := stream.Recv()
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		switch {
		case told.GetBookmark() != nil && !ready:
			ready = true
			s.ready.Add(1)
		case told.GetChange().GetEvent() != nil:
			s.clock.since(told.GetChange().GetEvent().GetEventTime().AsTime())
			s.events.Add(1)
		}
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}

// wait waits until count is at least enough.
func (s *sightings) wait(ctx context.Context, count *atomic.Int64, enough int64) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for count.Load() < enough {
		select {
		case <-s.news:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d: %w", count.Load(), enough, context.Cause(ctx))
		}
	}
	return nil
}
