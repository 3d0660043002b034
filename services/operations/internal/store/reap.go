package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// reaperLock is the advisory lock of the replica that reaps. The number has no meaning.
const reaperLock = 0x7265_6170

const tryReaperLockSQL = `-- store.tryReaperLock
	select pg_try_advisory_xact_lock($1)`

// deadlineColumns tell a statement for how many seconds a run of a type may be queued,
// and how many it may take to stop.
var deadlineColumns = columns[run.Type]{
	col("type", text, func(t *run.Type) string { return t.Name }),
	col("queue_deadline", float8, func(t *run.Type) float64 { return t.QueueDeadline.Seconds() }),
	col("cancel_deadline", float8, func(t *run.Type) float64 { return t.CancelDeadline.Seconds() }),
}

// Selects runs that may be overdue, at most limit of each kind: leases that expired, runs
// queued too long, and runs not ended long after a cancel request. Each is decided upon
// under its lock.
var overdueRunsSQL = build(func(b *builder[overdueInput]) string {
	limit := valueOf(b, integer, func(in overdueInput) int { return in.limit })
	types := rowsOf(b, deadlineColumns, func(in overdueInput) []run.Type { return in.types })
	return `-- store.overdueRuns
	(select run_id as id from run_lease where expires_at <= clock_timestamp() limit ` + limit + `)
	union
	(select r.id from operation_runs r, ` + types.as("o") + `
		where r.status = 'queued' and r.origin = 'live' and r.type = o.type
			and r.queued_at < clock_timestamp() - make_interval(secs => o.queue_deadline) limit ` + limit + `)
	union
	(select r.id from operation_runs r, ` + types.as("o") + `
		where r.status = 'running' and r.origin = 'live' and r.cancel_requested_at is not null and r.type = o.type
			and r.cancel_requested_at < clock_timestamp() - make_interval(secs => o.cancel_deadline) limit ` + limit + `)`
})

// overdueInput is the input of overdueRunsSQL.
type overdueInput struct {
	limit int // of runs of each kind
	types []run.Type
}

// Reaped is a run that the reaper moved.
type Reaped struct {
	Run  *run.Run
	Kind string // of the event
}

// Reap moves overdue runs, at most limit of each kind; see [run.Run.Reap]. It calls
// report for each run it moved. Only one replica reaps at a time; if another one does,
// Reap does nothing and returns nil.
func (s *Store) Reap(ctx context.Context, limit int, report func(Reaped)) error {
	var failed error
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var locked bool
		if err := tx.QueryRow(ctx, tryReaperLockSQL, reaperLock).Scan(&locked); err != nil || !locked {
			return err
		}
		ids, err := s.overdue(ctx, tx, limit)
		if err != nil {
			return err
		}
		for _, id := range ids {
			// A run that cannot be moved must not keep the others waiting.
			failed = errors.Join(failed, s.reapRun(ctx, id, report))
			if ctx.Err() != nil {
				break
			}
		}
		return nil
	})
	return errors.Join(err, failed)
}

// overdue returns the ids of runs that may be overdue.
func (s *Store) overdue(ctx context.Context, tx pgx.Tx, limit int) ([]int64, error) {
	rows, err := tx.Query(ctx, overdueRunsSQL.text, overdueRunsSQL.arguments(overdueInput{limit, s.typeList})...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// reapRun moves run id if it is overdue, in a transaction of its own.
func (s *Store) reapRun(ctx context.Context, id int64, report func(Reaped)) error {
	var kind string
	r, err := s.move(ctx, id, func(r *run.Run, now time.Time) (*run.Event, error) {
		e := r.Reap(now, s.types[r.Type])
		if e != nil {
			kind = e.Kind
		}
		return e, nil
	})
	if err != nil {
		return fmt.Errorf("reap run %d: %w", id, err)
	}
	if kind != "" {
		report(Reaped{Run: r, Kind: kind})
	}
	return nil
}
