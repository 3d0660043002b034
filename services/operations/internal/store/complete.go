package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// completeCall is a call of Complete.
type completeCall struct {
	service string
	id      int64
	run.Completion
}

var completeColumns = columns[completeCall]{
	col("run_id", bigint, func(c *completeCall) int64 { return c.id }),
	col("epoch", bigint, func(c *completeCall) int64 { return c.Epoch }),
	col("outcome", text, func(c *completeCall) string { return string(c.Outcome) }),
	col("counts", text, func(c *completeCall) string { return jsonText(object(c.Counts)) }),
	col("failures", text, func(c *completeCall) string { return jsonText(list(c.Failures)) }),
	col("digest", bytea, func(c *completeCall) []byte { return c.Digest }),
	col("service", text, func(c *completeCall) string { return c.service }),
}

// Completes running runs under their epochs, the usual case. For "is true" see
// [beginQueuedSQL].
var completeRunningSQL = buildOwned("completeRunning", completeColumns, `, n as (
		update operation_runs r set status = 'completed', outcome = a.outcome, failure_summary = a.failures::jsonb,
			completion_digest = a.digest,
			summary_counts = case when a.counts <> '{}' then a.counts::jsonb else coalesce(
				(select l.summary_counts from run_lease l where l.run_id = r.id and l.summary_counts <> '{}'), r.summary_counts) end,
			completed_at = greatest(clock_timestamp(), r.started_at), updated_at = clock_timestamp(), event_count = event_count + 1
		from a
		where r.id = a.run_id and r.type = a.type and r.lease_epoch = a.epoch and (r.status = 'running') is true and r.origin = 'live'
		returning r.*, a.ordinal, a.service
	), gone as (
		delete from run_lease using n where run_id = n.id
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select id, event_count, 'completed', service, status, outcome, lease_epoch, attempt from n
	)
	select r.ordinal,`+runColumns+` from n r left join run_lease l on false`)

func (s *Store) execCompletes(ctx context.Context, calls []completeCall) ([]*row, error) {
	ended, err := queryByOrdinal(ctx, s.db, len(calls), &completeRunningSQL, ownedCalls[completeCall]{calls, s.typeList})
	s.onCommit()
	s.metrics.countEnds(ended)
	return ended, err
}

// Complete ends run id for service; see [run.Run.Complete]. A completion that comes
// too late is refused and kept as an event.
func (s *Store) Complete(ctx context.Context, service string, id int64, c run.Completion) (*run.Run, error) {
	call := completeCall{service: service, id: id, Completion: c}
	r, err := s.completeGroup.Do(ctx, call)
	return s.finishComplete(ctx, call, r, err)
}

// Completion is one completion of a batch.
type Completion struct {
	RunID int64
	run.Completion
}

// CompleteBatch is [Store.Complete] for many. The results and errors are in the order
// of completions.
func (s *Store) CompleteBatch(ctx context.Context, service string, completions []Completion) ([]*run.Run, []error) {
	calls := completeCalls(service, completions)
	runs, refusals := make([]*run.Run, len(calls)), make([]error, len(calls))
	results := s.completeGroup.DoAll(ctx, calls)
	unmoved := func(i int) bool { return results[i].Value == nil && results[i].Err == nil }
	commit.Settle(len(calls), unmoved, func(i int) {
		runs[i], refusals[i] = s.finishComplete(ctx, calls[i], results[i].Value, results[i].Err)
	})
	return runs, refusals
}

func completeCalls(service string, completions []Completion) []completeCall {
	calls := make([]completeCall, len(completions))
	for i, c := range completions {
		calls[i] = completeCall{service: service, id: c.RunID, Completion: c.Completion}
	}
	return calls
}

// finishComplete returns the result of the shared statement. If the statement did not
// complete the run (r is nil), it asks the domain under the lock of the run.
func (s *Store) finishComplete(ctx context.Context, call completeCall, r *row, err error) (*run.Run, error) {
	switch {
	case err != nil:
		return nil, err
	case r != nil:
		return &r.Run, nil
	}
	owned := s.types.OwnedBy(call.service)
	ended, err := s.move(ctx, call.id, func(r *run.Run, now time.Time) (*run.Event, error) {
		if err := ownedBy(r, owned); err != nil {
			return nil, err
		}
		return r.Complete(now, call.Completion)
	})
	if reason := errs.Reason(err); reason != run.ReasonCompleted && reason != run.ReasonLeaseLost {
		return ended, err
	}
	if kept := s.keepLate(ctx, call); kept != nil {
		return nil, kept
	}
	return nil, err
}

// Writes the event of a late completion, unless there is one of this epoch. Late means
// under an epoch that is over, or, once the run is completed, under any it had. The event of
// an active run takes a number of event_count, from which later moves go on; that of a
// completed run comes after all events, as the run itself must not change. Nobody works
// on an imported run, so none of its completions is evidence of anything.
const insertLateSQL = `-- store.insertLate
	with counted as (
		update operation_runs r set event_count = event_count + 1
		where r.id = $1 and r.origin = 'live' and r.status <> 'completed' and $2::bigint between 0 and r.lease_epoch - 1 and not exists (
			select from run_event e where e.run_id = r.id and e.lease_epoch = $2::bigint and e.kind = 'late_completion_rejected')
	)
	insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
	select r.id, (select max(sequence) + 1 from run_event where run_id = r.id), $3::text, $4::text, r.status, r.outcome, $2::bigint, r.attempt, $5::jsonb
	from operation_runs r where r.id = $1 and r.origin = 'live' and $2::bigint between 0 and r.lease_epoch - (r.status <> 'completed')::int
	on conflict (run_id, lease_epoch) where kind = 'late_completion_rejected' do nothing`

// keepLate keeps the content of a refused completion as an event, once per epoch: it
// is evidence of work that was done.
func (s *Store) keepLate(ctx context.Context, c completeCall) error {
	detail := map[string]any{"outcome": c.Outcome, "summary_counts": object(c.Counts), "failure_summary": list(c.Failures)}
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockRunSQL, c.id); err != nil { // nobody else takes the next sequence
			return err
		}
		_, err := tx.Exec(ctx, insertLateSQL, c.id, c.Epoch, run.EventLateCompletionRejected, c.service, detail)
		return err
	})
	s.onCommit()
	if err != nil {
		return fmt.Errorf("keep late completion of run %d: %w", c.id, err)
	}
	return nil
}
