// Package retention is the loop that removes runs their types keep no longer.
// Any number of replicas may run it; one works at a time. What is due is said by
// the settings of run types, and found by the store.
package retention

import (
	"context"
	"log/slog"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Run removes every interval until ctx ends, as the owner role that ownerURL
// names: the application's may not. A failed pass is logged and tried again.
func Run(ctx context.Context, s *store.Store, ownerURL string, interval time.Duration, log *slog.Logger) {
	if ownerURL == "" {
		log.WarnContext(ctx, "retention is off: there is no owner database URL")
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		pass(ctx, s, ownerURL, log)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func pass(ctx context.Context, s *store.Store, ownerURL string, log *slog.Logger) {
	removed, err := s.Retain(ctx, ownerURL)
	if removed > 0 {
		log.InfoContext(ctx, "runs removed", "count", removed)
	}
	if err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "retention pass failed", "err", err)
	}
}
