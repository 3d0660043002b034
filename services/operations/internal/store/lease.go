package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// beginCall is a call of Begin.
type beginCall struct {
	service, holder string
	id              int64
}

var beginColumns = columns[beginCall]{
	col("run_id", bigint, func(c *beginCall) int64 { return c.id }),
	col("holder", text, func(c *beginCall) string { return c.holder }),
	col("service", text, func(c *beginCall) string { return c.service }),
}

// Begins queued runs, the usual case. "is true" hides the status from the planner:
// otherwise it may use the index of active runs instead of the primary key, because
// there were few active runs when it last analyzed the table.
var beginQueuedSQL = buildOwned("beginQueued", beginColumns, `, n as (
		update operation_runs r set status = 'running', lease_epoch = lease_epoch + 1, attempt = attempt + 1, released_epoch = null,
			started_at = coalesce(started_at, greatest(clock_timestamp(), created_at)), updated_at = clock_timestamp(),
			event_count = event_count + 1
		from a
		where r.id = a.run_id and r.type = a.type and (r.status = 'queued') is true and r.origin = 'live'
		returning r.*, a.ordinal, a.holder, clock_timestamp() + make_interval(secs => a.lease) as expires_at, a.service
	), l as (
		insert into run_lease (run_id, epoch, holder, expires_at)
		select id, lease_epoch, holder, expires_at from n
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
		select id, event_count, 'begun', service, status, outcome, lease_epoch, attempt, jsonb_build_object('holder', holder) from n
	)
	select r.ordinal,`+runColumns+` from n r join lateral (`+newLeaseSQL+`) l on true`)

func (s *Store) execBegins(ctx context.Context, calls []beginCall) ([]*row, error) {
	begun, err := queryByOrdinal(ctx, s.db, len(calls), &beginQueuedSQL, ownedCalls[beginCall]{calls, s.typeList})
	s.onCommit()
	return begun, err
}

// Begin leases run id to holder for service; see [run.Run.Begin].
func (s *Store) Begin(ctx context.Context, service string, id int64, holder string) (*run.Run, error) {
	r, err := s.beginGroup.Do(ctx, beginCall{service: service, id: id, holder: holder})
	if err != nil {
		return nil, err
	}
	if r != nil {
		return &r.Run, nil
	}
	owned := s.types.OwnedBy(service)
	begun, err := s.move(ctx, id, func(r *run.Run, now time.Time) (*run.Event, error) {
		if err := ownedBy(r, owned); err != nil {
			return nil, err
		}
		return r.Begin(now, holder, s.types[r.Type].Lease)
	})
	if err != nil {
		return nil, err
	}
	return begun, begun.Refusal() // it may have ended now: its lease had expired and it may not be tried again
}

// progressCall is a call of Progress.
type progressCall struct {
	service   string
	id, epoch int64
	counts    map[string]int64
}

var progressColumns = columns[progressCall]{
	col("run_id", bigint, func(c *progressCall) int64 { return c.id }),
	col("epoch", bigint, func(c *progressCall) int64 { return c.epoch }),
	col("counts", text, func(c *progressCall) string { return jsonText(object(c.counts)) }),
	col("service", text, func(c *progressCall) string { return c.service }),
}

// A heartbeat updates only the lease, a short row, and only if the epoch is the current one.
var reportProgressSQL = buildOwned("reportProgress", progressColumns, `
	update run_lease l set
		expires_at = clock_timestamp() + make_interval(secs => a.lease),
		summary_counts = case when a.counts <> '{}' then a.counts::jsonb else l.summary_counts end
	from a join operation_runs r on r.id = a.run_id and r.type = a.type
	where l.run_id = a.run_id and l.epoch = a.epoch
	returning a.ordinal, l.expires_at, r.cancel_requested_at is not null, coalesce(r.cancel_reason, '')`)

func (s *Store) execProgress(ctx context.Context, calls []progressCall) ([]*Heartbeat, error) {
	rows, err := s.db.Query(ctx, reportProgressSQL.text, reportProgressSQL.arguments(ownedCalls[progressCall]{calls, s.typeList})...)
	if err != nil {
		return nil, err
	}
	beats := make([]*Heartbeat, len(calls))
	var counted []int64
	var ordinal int
	var h Heartbeat
	_, err = pgx.ForEachRow(rows, []any{&ordinal, &h.ExpiresAt, &h.CancelRequested, &h.CancelReason}, func() error {
		beat := h
		beats[ordinal-1] = &beat
		if c := calls[ordinal-1]; len(c.counts) > 0 {
			counted = append(counted, c.id)
		}
		return nil
	})
	if len(counted) > 0 {
		s.onProgress(counted)
	}
	return beats, err
}

// Heartbeat is what a worker learns from a heartbeat.
type Heartbeat struct {
	ExpiresAt       time.Time
	CancelRequested bool
	CancelReason    string
}

// Progress extends the lease of run id, if it is held under epoch, and stores counts,
// if there are any; see [run.Run.Progress].
func (s *Store) Progress(ctx context.Context, service string, id, epoch int64, counts map[string]int64) (Heartbeat, error) {
	beat, err := s.progressGroup.Do(ctx, progressCall{service: service, id: id, epoch: epoch, counts: counts})
	if beat != nil || err != nil {
		return deref(beat), err
	}
	return Heartbeat{}, s.refuseProgress(ctx, service, id, epoch)
}

// Report is one heartbeat of a batch.
type Report struct {
	RunID, Epoch int64
	Counts       map[string]int64
}

// ProgressBatch is [Store.Progress] for many. The results and errors are in the order
// of reports.
func (s *Store) ProgressBatch(ctx context.Context, service string, reports []Report) ([]Heartbeat, []error) {
	calls := progressCalls(service, reports)
	beats, refusals := make([]Heartbeat, len(calls)), make([]error, len(calls))
	results := s.progressGroup.DoAll(ctx, calls)
	noLease := func(i int) bool { return results[i].Value == nil && results[i].Err == nil }
	commit.Settle(len(calls), noLease, func(i int) {
		if beats[i], refusals[i] = deref(results[i].Value), results[i].Err; noLease(i) {
			refusals[i] = s.refuseProgress(ctx, service, calls[i].id, calls[i].epoch)
		}
	})
	return beats, refusals
}

func progressCalls(service string, reports []Report) []progressCall {
	calls := make([]progressCall, len(reports))
	for i, r := range reports {
		calls[i] = progressCall{service: service, id: r.RunID, epoch: r.Epoch, counts: r.Counts}
	}
	return calls
}

// refuseProgress returns why a heartbeat found no lease to extend.
func (s *Store) refuseProgress(ctx context.Context, service string, id, epoch int64) error {
	r, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := ownedBy(r, s.types.OwnedBy(service)); err != nil {
		return err
	}
	if err := r.Progress(epoch); err != nil {
		return err
	}
	// The run was begun under this epoch after the statement.
	return errs.Unavailable("RUN_MOVED", "run %d moved while this was read; repeat the call", id)
}

// ownedBy returns an error unless owned contains the type of r.
func ownedBy(r *run.Run, owned []string) error {
	if slices.Contains(owned, r.Type) {
		return nil
	}
	return errs.Denied(run.ReasonTypeNotOwned, "runs of type %s belong to another service", r.Type)
}
