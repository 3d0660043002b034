package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// retryPause lets those pass who queued behind us.
const retryPause = 300 * time.Millisecond

// Retried runs do, again and again while others use the same rows or tables.
func (l *Ledger) Retried(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !query.Crowded(err) {
			return err
		}
		l.Log.Info("others use the same rows or tables, trying again", "err", err)
		if err := Pause(ctx); err != nil {
			return err
		}
	}
}

// Alter runs do in a transaction, again and again while others use the same rows or tables.
func (l *Ledger) Alter(ctx context.Context, db *pgxpool.Pool, do func(pgx.Tx) error) error {
	return l.Retried(ctx, func() error { return pgx.BeginFunc(ctx, db, do) })
}

// Pause waits a moment before the next try.
func Pause(ctx context.Context) error { return pause.For(ctx, retryPause) }
