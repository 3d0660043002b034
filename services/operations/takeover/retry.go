package takeover

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// retryPause is how long those who queued behind us are left alone before we try again.
const retryPause = 300 * time.Millisecond

// crowded says that err is nobody's mistake: others were at the same rows or
// tables, and nothing was changed.
func crowded(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{
		"55P03", // lock not available
		"40P01", // deadlock detected
		"40001", // serialization failure
	}, e.Code)
}

// retried runs do until others are not in its way.
func (t *Tool) retried(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !crowded(err) {
			return err
		}
		t.log.Info("others are at work there, trying again", "err", err)
		if err := pause.For(ctx, retryPause); err != nil {
			return err
		}
	}
}

// alter runs do in a transaction, again while others are in its way.
func (t *Tool) alter(ctx context.Context, db *pgxpool.Pool, do func(pgx.Tx) error) error {
	return t.retried(ctx, func() error { return pgx.BeginFunc(ctx, db, do) })
}

// violated says that rows are not as a constraint wants them.
func violated(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"23503", "23514"}, e.Code) // foreign key, check
}
