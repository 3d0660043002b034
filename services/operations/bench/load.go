package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// closed runs callers for length. Each calls once again as soon as its last call has
// returned. It returns how long each call took; one call does perCall runs.
func closed(ctx context.Context, callers int, length time.Duration, perCall int, once func(ctx context.Context, caller int) error) (tally, error) {
	begin := time.Now()
	times := make([][]time.Duration, callers)
	group, ctx := errgroup.WithContext(ctx)
	for c := range callers {
		group.Go(func() error {
			for start := time.Now(); start.Sub(begin) < length; start = time.Now() {
				if err := once(ctx, c); err != nil {
					return err
				}
				times[c] = append(times[c], time.Since(start))
			}
			return nil
		})
	}
	err := group.Wait()
	all := slices.Concat(times...)
	return tally{runs: len(all) * perCall, elapsed: time.Since(begin), times: all}, err
}

// pace calls f for length, rate times a second, whether or not earlier calls have returned,
// and passes the time at which each call is due. It returns when all calls have.
func pace(ctx context.Context, rate float64, length time.Duration, f func(ctx context.Context, n int, due time.Time) error) error {
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	group, ctx := errgroup.WithContext(ctx)
	for n := range int(rate * length.Seconds()) {
		due := begin.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if err := until(ctx, timer, due); err != nil {
			break // the group has the error
		}
		group.Go(func() error { return f(ctx, n, due) })
	}
	return group.Wait()
}

// until waits on timer until the time due.
func until(ctx context.Context, timer *time.Timer, due time.Time) error {
	timer.Reset(time.Until(due))
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stopwatch collects times from many goroutines.
type stopwatch struct {
	mu    sync.Mutex
	times []time.Duration
}

// since records the time since a call was due.
func (s *stopwatch) since(due time.Time) {
	took := time.Since(due)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, took)
}
