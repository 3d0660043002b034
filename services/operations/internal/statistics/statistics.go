// Package statistics is the loop that folds ended runs into the sums that
// SummarizeRuns answers from. Any number of replicas may run it; one works at a
// time. What is not folded yet is counted live, so nothing waits for it.
package statistics

import (
	"context"
	"log/slog"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Run folds every interval until ctx ends. A failed fold is logged and tried again.
func Run(ctx context.Context, s *store.Store, interval time.Duration, log *slog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if _, err := s.Fold(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "statistics not folded", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
