// Package reaper moves the runs whose time is up: expired leases, queue
// deadlines, cancel deadlines. Any number of replicas may call it; one works at
// a time. The rules are the run domain's.
package reaper

import (
	"context"
	"log/slog"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// passLimit bounds how many runs of each kind one pass moves; the next follows soon.
const passLimit = 1000

// passTimeout ends a pass whose connection has died without a word: the server
// bounds how long a statement runs, but nothing bounds the wait for its result.
const passTimeout = 10 * time.Second

// Pass moves the runs that are overdue, and logs each.
func Pass(ctx context.Context, s *store.Store, log *slog.Logger) error {
	bounded, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	return s.Reap(bounded, passLimit, func(r store.Reaped) {
		log.InfoContext(ctx, "run reaped", "run_id", r.Run.ID, "workspace_id", r.Run.WorkspaceID, "type", r.Run.Type,
			"kind", r.Kind, "status", r.Run.Status, "outcome", r.Run.Outcome, "lease_epoch", r.Run.Epoch)
	})
}
