// Package pause waits between two attempts of a loop. It does not retry
// anything itself: the loop decides what to repeat, and how often. It stands alone:
// it knows nothing of package service, so any process may use it, the gateway too.
package pause

import (
	"context"
	"time"
)

// For waits for d and returns nil. When ctx ends first, or has ended already, it
// returns ctx's error at once.
func For(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil || d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
