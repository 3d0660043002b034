package adopt

import (
	"context"
	"fmt"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/transfer"
)

// adoptRuns copies the runs that are canonical already, and reports their number.
func (a *adoption) adoptRuns(ctx context.Context) error {
	after, err := a.Resume(ctx, "adopt", legacy.CanonicalRuns)
	if err != nil {
		return err
	}
	var total, rows, inserted, removed int64
	if err := a.Legacy.QueryRow(ctx, countAfter, after).Scan(&total); err != nil {
		return fmt.Errorf("count canonical runs: %w", err)
	}
	bar := a.Bar("adopt "+legacy.CanonicalRuns, total)
	for s, err := range a.Spans(ctx, legacy.CanonicalRuns, after) {
		if err != nil {
			return err
		}
		c, err := transfer.Copy(ctx, a.Ledger, legacy.CanonicalRuns, s)
		if err != nil {
			return err
		}
		rows, inserted, removed = rows+c.Rows, inserted+c.Inserted, removed+c.Removed
		if err := a.Came(ctx, "adopt", legacy.CanonicalRuns, s.Until); err != nil {
			return err
		}
		_ = bar.Add64(c.Rows)
	}
	_ = bar.Finish()
	a.r.Table("Canonical runs", "adopted", "of them new or changed", "removed or changed").Row(rows, inserted, removed)
	if err := transfer.Analyze(ctx, a.Ledger); err != nil {
		return err
	}
	return a.Arrived(ctx, "adopt", legacy.CanonicalRuns)
}

const countAfter = `-- takeover.countAfter
	select count(*) from operation_runs where id > $1`
