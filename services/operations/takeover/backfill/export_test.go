package backfill

import (
	"context"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/transfer"
)

// WriteBack writes the bridges of a span of source, as a pass does after it has copied the span.
func WriteBack(ctx context.Context, l *ledger.Ledger, source string, s ledger.Span, bridges []transfer.Bridge) error {
	p := &pass{backfilling: &backfilling{Ledger: l}, source: source}
	if err := p.dropKeys(ctx, source); err != nil {
		return err
	}
	return p.writeBack(ctx, written{Span: s, bridges: bridges})
}
