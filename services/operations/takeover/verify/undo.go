package verify

import (
	"context"
	"fmt"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// Undo stops watching tables, and forgets the writes that were noted.
func Undo(ctx context.Context, l *ledger.Ledger, _ *report.Report) error {
	for _, table := range legacy.Watched {
		if err := l.Unwatch(ctx, table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	_, err := l.Legacy.Exec(ctx, forgetWrites)
	return err
}

const forgetWrites = `-- takeover.forgetWrites
	delete from tenantpilot_takeover.write_seen`
