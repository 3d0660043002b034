// Package reaper is the loop that does what time asks of runs: expired leases,
// queue deadlines, cancel deadlines. Any number of replicas may run it; one
// works at a time. The rules are the run domain's.
package reaper

import (
	"context"
	"log/slog"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// passLimit bounds how many runs of each kind one pass moves; the next follows soon.
const passLimit = 1000

// passTimeout ends a pass whose connection has gone dead without a word: a
// statement is bounded by the server, the wait for its answer is not.
const passTimeout = 10 * time.Second

// Run reaps every interval until ctx ends. A failed pass is logged and tried again.
func Run(ctx context.Context, s *store.Store, interval time.Duration, log *slog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		pass(ctx, s, log)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func pass(ctx context.Context, s *store.Store, log *slog.Logger) {
	bounded, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	err := s.Reap(bounded, passLimit, func(r store.Reaped) {
		log.InfoContext(ctx, "run reaped", "run_id", r.Run.ID, "workspace_id", r.Run.WorkspaceID, "type", r.Run.Type,
			"kind", r.Kind, "status", r.Run.Status, "outcome", r.Run.Outcome, "lease_epoch", r.Run.Epoch)
	})
	if err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "reaper pass failed", "err", err)
	}
}
