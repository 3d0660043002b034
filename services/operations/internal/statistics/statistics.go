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

// foldTimeout ends a fold whose connection has gone dead without a word: the
// server bounds the statement, and nobody the wait for its answer.
const foldTimeout = 20 * time.Second

// Run folds every interval until ctx ends. A failed fold is logged and tried again.
func Run(ctx context.Context, s *store.Store, interval time.Duration, log *slog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := fold(ctx, s); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "statistics not folded", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func fold(ctx context.Context, s *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	_, err := s.Fold(ctx)
	return err
}
