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

// completing is an ask to complete a running run.
type completing struct {
	service string
	id      int64
	run.Completion
}

// Completing running runs under their epochs, the usual case: guarded, and
// shared by those who come at the same time. As to "is true" see [beginQueued].
const completeRunning = `-- store.completeRunning
	with a as (
		select a.*, o.type
		from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[])
			with ordinality as a (run_id, epoch, outcome, counts, failures, digest, service, place)
		join unnest($8::text[], $9::text[]) as o (type, owner) on o.owner = a.service
	), n as (
		update operation_runs r set status = 'completed', outcome = a.outcome, failure_summary = a.failures::jsonb,
			completion_digest = a.digest,
			summary_counts = case when a.counts <> '{}' then a.counts::jsonb else coalesce(
				(select l.summary_counts from run_lease l where l.run_id = r.id and l.summary_counts <> '{}'), r.summary_counts) end,
			completed_at = greatest(clock_timestamp(), r.started_at), updated_at = clock_timestamp(), event_count = event_count + 1
		from a
		where r.id = a.run_id and r.type = a.type and r.lease_epoch = a.epoch and (r.status = 'running') is true and r.origin = 'live'
		returning r.*, a.place, a.service
	), gone as (
		delete from run_lease using n where run_id = n.id
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select id, event_count, 'completed', service, status, outcome, lease_epoch, attempt from n
	)
	select r.place,` + runColumns + ` from n r left join run_lease l on false`

func (s *Store) completeAll(ctx context.Context, asks []completing) ([]*row, error) {
	n := len(asks)
	ids, epochs, outcomes, counts := make([]int64, n), make([]int64, n), make([]string, n), make([]string, n)
	failures, digests, services := make([]string, n), make([][]byte, n), make([]string, n)
	for i, a := range asks {
		ids[i], epochs[i], outcomes[i], digests[i], services[i] = a.id, a.Epoch, string(a.Outcome), a.Digest, a.service
		var err error
		if counts[i], err = jsonText(object(a.Counts)); err != nil {
			return nil, err
		}
		if failures[i], err = jsonText(list(a.Failures)); err != nil {
			return nil, err
		}
	}
	ended, err := placed(ctx, s.db, n, completeRunning, ids, epochs, outcomes, counts, failures, digests, services, s.owners.types, s.owners.names)
	s.moved()
	s.metrics.ended(ended...)
	return ended, err
}

// Complete ends run id for service; see [run.Run.Complete]. What comes too late
// is refused and kept as an event.
func (s *Store) Complete(ctx context.Context, service string, id int64, c run.Completion) (*run.Run, error) {
	ask := completing{service: service, id: id, Completion: c}
	r, err := s.completes.do(ctx, ask)
	return s.completed(ctx, ask, r, err)
}

// Ending is a completion among others.
type Ending struct {
	RunID int64
	run.Completion
}

// CompleteAll is [Store.Complete] for many, each with its own answer or error,
// in the order asked.
func (s *Store) CompleteAll(ctx context.Context, service string, endings []Ending) ([]*run.Run, []error) {
	asks := make([]completing, len(endings))
	for i, e := range endings {
		asks[i] = completing{service: service, id: e.RunID, Completion: e.Completion}
	}
	runs, refused := make([]*run.Run, len(asks)), make([]error, len(asks))
	ended := s.completes.doAll(ctx, asks)
	settle(len(asks), func(i int) bool { return ended[i].answer == nil && ended[i].err == nil }, func(i int) {
		runs[i], refused[i] = s.completed(ctx, asks[i], ended[i].answer, ended[i].err)
	})
	return runs, refused
}

// completed answers what came of the shared statement, or, if its guard let ask
// through, decides about the run under its lock.
func (s *Store) completed(ctx context.Context, ask completing, r *row, err error) (*run.Run, error) {
	switch {
	case err != nil:
		return nil, err
	case r != nil:
		return &r.Run, nil
	}
	owned := s.types.OwnedBy(ask.service)
	ended, err := s.move(ctx, ask.id, func(r *run.Run, now time.Time) (*run.Event, error) {
		if err := ownedBy(r, owned); err != nil {
			return nil, err
		}
		return r.Complete(now, ask.Completion)
	})
	if reason := errs.Reason(err); reason != run.ReasonCompleted && reason != run.ReasonLeaseLost {
		return ended, err
	}
	if kept := s.keepLate(ctx, ask.service, ask.id, ask.Completion); kept != nil {
		return nil, kept
	}
	return nil, err
}

// What comes after the end is numbered after it; the moves of an active run count
// on from it. The epoch of an active run itself is not late.
const insertLate = `-- store.insertLate
	with counted as (
		update operation_runs r set event_count = event_count + 1
		where r.id = $1 and r.status <> 'completed' and $2::bigint between 0 and r.lease_epoch - 1 and not exists (
			select from run_event e where e.run_id = r.id and e.lease_epoch = $2::bigint and e.kind = 'late_completion_rejected')
	)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
	select r.id, (select max(sequence) + 1 from run_event where run_id = r.id), $3::text, $4::text, r.status, r.outcome, $2::bigint, r.attempt, $5::jsonb
	from operation_runs r where r.id = $1 and $2::bigint between 0 and r.lease_epoch - (r.status <> 'completed')::int
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
	s.moved()
	if err != nil {
		return fmt.Errorf("keep late completion of run %d: %w", id, err)
	}
	return nil
}
