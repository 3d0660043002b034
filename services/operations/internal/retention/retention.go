// Package retention removes runs that are kept no longer. Any number of replicas
// may call it; one works at a time. The settings of run types say how long runs
// are kept, and the store finds those that are due.
package retention

import (
	"context"
	"log/slog"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Pass removes the runs that are due, as the owner role that ownerURL names: the
// app role may not remove runs.
func Pass(ctx context.Context, s *store.Store, ownerURL string, log *slog.Logger) error {
	removed, err := s.Retain(ctx, ownerURL)
	if removed > 0 {
		log.InfoContext(ctx, "runs removed", "count", removed)
	}
	return err
}
