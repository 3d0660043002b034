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

// Completing a running run under its epoch, the usual case: one statement, one commit.
const completeRunning = `-- store.completeRunning
	with r as (
		update operation_runs r set status = 'completed', outcome = $4, failure_summary = $6, completion_digest = $7,
			summary_counts = case when $5::jsonb <> '{}' then $5::jsonb else coalesce(
				(select l.summary_counts from run_lease l where l.run_id = r.id and l.summary_counts <> '{}'), r.summary_counts) end,
			completed_at = greatest(clock_timestamp(), r.started_at), updated_at = clock_timestamp(), event_count = event_count + 1
		where id = $1 and type = any($2) and lease_epoch = $3 and status = 'running' and origin = 'live'
		returning *
	), gone as (
		delete from run_lease using r where run_id = r.id
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select id, event_count, 'completed', $8, status, outcome, lease_epoch, attempt from r
	)
	select` + runColumns + ` from r left join run_lease l on false`

// Complete ends run id for service; see [run.Run.Complete]. What comes too late
// is refused and kept as an event.
func (s *Store) Complete(ctx context.Context, service string, id int64, c run.Completion) (*run.Run, error) {
	owned := s.types.OwnedBy(service)
	r, err := one(ctx, s.db, completeRunning, id, owned, c.Epoch, c.Outcome, object(c.Counts), list(c.Failures), c.Digest, service)
	if err != nil {
		return nil, err
	}
	if r != nil {
		return &r.Run, nil
	}
	ended, err := s.move(ctx, id, func(r *run.Run, now time.Time) (*run.Event, error) {
		if err := ownedBy(r, owned); err != nil {
			return nil, err
		}
		return r.Complete(now, c)
	})
	if errs.Reason(err) != run.ReasonCompleted {
		return ended, err
	}
	if kept := s.keepLate(ctx, service, id, c); kept != nil {
		return nil, kept
	}
	return nil, err
}

const insertLate = `-- store.insertLate
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
	select r.id, (select max(sequence) + 1 from run_event where run_id = r.id), $3::text, $4::text, r.status, r.outcome, $2::bigint, r.attempt, $5::jsonb
	from operation_runs r where r.id = $1 and $2::bigint between 0 and r.lease_epoch
	on conflict (run_id, lease_epoch) where kind = 'late_completion_rejected' do nothing`

// keepLate keeps the payload of a refused completion, once per epoch: evidence
// of work that was done after all.
func (s *Store) keepLate(ctx context.Context, service string, id int64, c run.Completion) error {
	detail := map[string]any{"outcome": c.Outcome, "summary_counts": object(c.Counts), "failure_summary": list(c.Failures)}
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockRun, id); err != nil { // the next sequence is ours alone
			return err
		}
		_, err := tx.Exec(ctx, insertLate, id, c.Epoch, run.EventLateCompletionRejected, service, detail)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep late completion of run %d: %w", id, err)
	}
	return nil
}
