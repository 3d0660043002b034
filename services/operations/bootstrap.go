package operations

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// maxReserved is half of the ids that one database has, should there be several.
const maxReserved = 1 << 47

// Bootstrap is what a new installation can be given before its first run.
type Bootstrap struct {
	// ReserveRunIDs keeps the ids 1 to that one for the runs of an older
	// TenantPilot that will be taken over.
	ReserveRunIDs int64
}

// ParseBootstrap reads the flags of the bootstrap command.
func ParseBootstrap(args []string) (Bootstrap, error) {
	var b Bootstrap
	f := flag.NewFlagSet("bootstrap", flag.ContinueOnError)
	f.Int64Var(&b.ReserveRunIDs, "reserve-run-ids", 0, "keep the ids 1 to `N` for the runs of an older TenantPilot, to be taken over later")
	if err := f.Parse(args); err != nil {
		return b, err
	}
	switch {
	case f.NArg() > 0:
		return b, fmt.Errorf("bootstrap: %q is not a flag", f.Arg(0))
	case b.ReserveRunIDs < 1 || b.ReserveRunIDs > maxReserved:
		return b, fmt.Errorf("bootstrap: -reserve-run-ids must be between 1 and %d", int64(maxReserved))
	}
	return b, nil
}

// Run reserves what is not reserved yet, and changes nothing the second time.
// It works on the database itself, with the service running or not.
func (b Bootstrap) Run(ctx context.Context, ownerURL string, log *slog.Logger) error {
	if ownerURL == "" {
		return errors.New("reserve run ids: there is no owner database URL")
	}
	next, moved, err := store.ReserveIDs(ctx, ownerURL, b.ReserveRunIDs)
	if err != nil {
		return fmt.Errorf("reserve run ids 1 to %d: %w", b.ReserveRunIDs, err)
	}
	message := "run ids were reserved already: nothing changed"
	if moved {
		message = "run ids reserved"
	}
	log.InfoContext(ctx, message, "reserved", b.ReserveRunIDs, "next_run_id", next)
	return nil
}
