package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Everybody locks the run before its lease, or two could deadlock. The lease must be
// locked too, so that no heartbeat extends it while the domain decides.
const lockRunSQL = `-- store.lockRun
	select 1 from operation_runs where id = $1 for update`

const lockLeaseSQL = `-- store.lockLease
	select 1 from run_lease where run_id = $1 for update`

// lockRun locks run id and returns it as it is under the lock, or nil if it does not exist.
func lockRun(ctx context.Context, tx pgx.Tx, id int64) (*row, error) {
	for _, statement := range []string{lockRunSQL, lockLeaseSQL} {
		if _, err := tx.Exec(ctx, statement, id); err != nil {
			return nil, fmt.Errorf("lock run %d: %w", id, err)
		}
	}
	return queryRun(ctx, tx, getRunSQL, id)
}

// move locks run id, calls decide and writes what it did to the run, in one
// transaction. An error of decide is returned as it is; without an event and with the
// same lease as before, nothing is written.
func (s *Store) move(ctx context.Context, id int64, decide func(r *run.Run, now time.Time) (*run.Event, error)) (*run.Run, error) {
	var after *run.Run
	var e *run.Event
	var expired bool
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		r, err := lockRun(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case r == nil:
			return errs.NotFound("run")
		}
		before := r.Lease.Copy()
		expired = r.Status == run.Running && r.Expired(r.now)
		if e, err = decide(&r.Run, r.now); err != nil {
			return err
		}
		if e == nil && r.Lease.Equal(before) {
			after = &r.Run
			return nil
		}
		after, err = s.writeRun(ctx, tx, &r.Run, e)
		return err
	})
	s.onCommit()
	if err == nil && e != nil {
		s.metrics.countMove(after, e, expired)
	}
	return after, err
}

const updateRunSQL = `-- store.updateRun
	update operation_runs set
		status = $2, outcome = $3, failure_summary = $4, summary_counts = $5, started_at = $6, completed_at = $7,
		queued_at = $8, lease_epoch = $9, released_epoch = $10, cancel_requested_at = $11, cancel_requested_by = $12,
		cancel_reason = $13, attempt = $14, completion_digest = $15, event_count = event_count + 1, updated_at = clock_timestamp()
	where id = $1
	returning event_count`

const upsertLeaseSQL = `-- store.upsertLease
	insert into run_lease (run_id, epoch, holder, expires_at) values ($1, $2, $3, $4)
	on conflict (run_id) do update set epoch = excluded.epoch, holder = excluded.holder, expires_at = excluded.expires_at,
		summary_counts = case when run_lease.epoch = excluded.epoch then run_lease.summary_counts else '{}' end`

const deleteLeaseSQL = `-- store.deleteLease
	delete from run_lease where run_id = $1`

const insertEventSQL = `-- store.insertEvent
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// writeRun writes r, which is locked in tx, with the event e that changed it, and
// returns it as stored. A nil event means that only the lease was extended.
func (s *Store) writeRun(ctx context.Context, tx pgx.Tx, r *run.Run, e *run.Event) (*run.Run, error) {
	if e != nil {
		if err := s.writeEvent(ctx, tx, r, e); err != nil {
			return nil, err
		}
	}
	var err error
	if r.Lease != nil {
		_, err = tx.Exec(ctx, upsertLeaseSQL, r.ID, r.Epoch, r.Lease.Holder, r.Lease.ExpiresAt)
	} else {
		_, err = tx.Exec(ctx, deleteLeaseSQL, r.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("write lease of run %d: %w", r.ID, err)
	}
	stored, err := queryRun(ctx, tx, getRunSQL, r.ID)
	if err != nil {
		return nil, err
	}
	return &stored.Run, nil
}

// writeEvent writes r and the event e that changed it, but not its lease.
func (s *Store) writeEvent(ctx context.Context, tx pgx.Tx, r *run.Run, e *run.Event) error {
	var cancelAt *time.Time
	var cancelBy, cancelReason *string
	if r.Cancel != nil {
		cancelAt, cancelBy, cancelReason = &r.Cancel.At, &r.Cancel.By, &r.Cancel.Reason
	}
	var sequence int
	err := tx.QueryRow(ctx, updateRunSQL, r.ID, r.Status, r.Outcome, list(r.Failures), object(r.Counts), r.StartedAt, r.CompletedAt,
		r.QueuedAt, r.Epoch, r.ReleasedEpoch, cancelAt, cancelBy, cancelReason, r.Attempt, r.CompletionDigest).Scan(&sequence)
	if err != nil {
		return fmt.Errorf("update run %d: %w", r.ID, err)
	}
	if _, err := tx.Exec(ctx, insertEventSQL, r.ID, sequence, e.Kind, s.actor(r, e), r.Status, r.Outcome, r.Epoch, r.Attempt, object(e.Detail)); err != nil {
		return fmt.Errorf("insert event %d of run %d: %w", sequence, r.ID, err)
	}
	return nil
}

// actor returns who did e: by default the owner of the type of r.
func (s *Store) actor(r *run.Run, e *run.Event) string {
	if e.Actor != "" {
		return e.Actor
	}
	return s.types[r.Type].Owner
}

// object returns m, or an empty map: nil would become JSON null, which the columns
// do not allow.
func object[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// list returns s, or an empty slice: nil would become null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Release returns run id to the queue; see [run.Run.Release].
func (s *Store) Release(ctx context.Context, owned []string, id, epoch int64) (*run.Run, error) {
	return s.move(ctx, id, func(r *run.Run, now time.Time) (*run.Event, error) {
		if err := ownedBy(r, owned); err != nil {
			return nil, err
		}
		return r.Release(now, epoch)
	})
}

// Cancel requests that run id be cancelled; see [run.Run.RequestCancel].
func (s *Store) Cancel(ctx context.Context, id int64, by, reason string) (*run.Run, error) {
	return s.move(ctx, id, func(r *run.Run, now time.Time) (*run.Event, error) {
		return r.RequestCancel(now, by, reason), nil
	})
}
