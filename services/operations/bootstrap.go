package operations

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// maxReserved is half of the ids that one database has once there are several.
const maxReserved = 1 << 47

// Bootstrap has the settings of a new installation from before its first run.
type Bootstrap struct {
	// ReserveRunIDs keeps the ids from 1 to this one for the runs of an older
	// TenantPilot that will be taken over.
	ReserveRunIDs int64
}

func bootstrap(ctx context.Context, args []string, cfg Config, log *slog.Logger) error {
	b, err := ParseBootstrap(args)
	if err != nil {
		return err
	}
	return b.Run(ctx, cfg.Database.OwnerURL, log)
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

// Run reserves the ids that are not reserved yet; a second run changes nothing.
// It works on the database itself, whether the service is running or not.
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
