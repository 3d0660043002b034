package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Begin from the queue, the usual case: guarded, one statement, one commit.
const beginQueued = `-- store.beginQueued
	with r as (
		update operation_runs set status = 'running', lease_epoch = lease_epoch + 1, attempt = attempt + 1, released_epoch = null,
			started_at = coalesce(started_at, greatest(clock_timestamp(), created_at)), updated_at = clock_timestamp(), event_count = event_count + 1
		where id = $1 and type = any($2) and status = 'queued' and origin = 'live'
		returning *
	), l as (
		insert into run_lease (run_id, epoch, holder, expires_at)
		select r.id, r.lease_epoch, $3, clock_timestamp() + make_interval(secs => (
			select o.lease from unnest($2::text[], $4::float8[]) as o(type, lease) where o.type = r.type)) from r
		returning *
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
		select id, event_count, 'begun', $5, status, outcome, lease_epoch, attempt, jsonb_build_object('holder', $3::text) from r
	)
	select` + runColumns + ` from r join l on l.run_id = r.id`

// Begin leases run id to holder for service, which owns the types owned; see [run.Run.Begin].
func (s *Store) Begin(ctx context.Context, service string, id int64, holder string) (*run.Run, error) {
	owned := s.types.OwnedBy(service)
	r, err := one(ctx, s.db, beginQueued, id, owned, holder, s.leases(owned), service)
	if err != nil {
		return nil, err
	}
	if r != nil {
		return &r.Run, nil
	}
	begun, err := s.move(ctx, id, func(r *run.Run, now time.Time) (*run.Event, error) {
		if err := ownedBy(r, owned); err != nil {
			return nil, err
		}
		return r.Begin(now, holder, s.types[r.Type].Lease)
	})
	if err != nil {
		return nil, err
	}
	return begun, begun.Refusal() // an exhausted or cancelled run ended instead of being taken over
}

// A heartbeat touches the narrow lease row only, and only under its epoch.
const reportProgress = `-- store.reportProgress
	update run_lease l set
		expires_at = clock_timestamp() + make_interval(secs => o.lease),
		summary_counts = case when $5::jsonb <> '{}' then $5::jsonb else l.summary_counts end
	from operation_runs r, unnest($3::text[], $4::float8[]) as o(type, lease)
	where l.run_id = $1 and l.epoch = $2 and r.id = l.run_id and o.type = r.type
	returning l.expires_at, r.cancel_requested_at is not null, coalesce(r.cancel_reason, '')`

// Heartbeat is what a worker is told when it reports.
type Heartbeat struct {
	ExpiresAt       time.Time
	CancelRequested bool
	CancelReason    string
}

// Progress extends the lease of run id under epoch and stores counts, if any;
// see [run.Run.Progress].
func (s *Store) Progress(ctx context.Context, service string, id, epoch int64, counts map[string]int64) (Heartbeat, error) {
	owned := s.types.OwnedBy(service)
	var h Heartbeat
	err := s.db.QueryRow(ctx, reportProgress, id, epoch, owned, s.leases(owned), object(counts)).
		Scan(&h.ExpiresAt, &h.CancelRequested, &h.CancelReason)
	if !errors.Is(err, pgx.ErrNoRows) {
		return h, err
	}
	r, err := s.Get(ctx, id)
	if err != nil {
		return h, err
	}
	if err := ownedBy(r, owned); err != nil {
		return h, err
	}
	if err := r.Progress(epoch); err != nil {
		return h, err
	}
	// Begun under this very epoch between the two statements: say it again.
	return h, errs.Unavailable("RUN_MOVED", "run %d moved while this was read; repeat the call", id)
}

// leases answers how long the leases of types last, in seconds.
func (s *Store) leases(types []string) []float64 {
	seconds := make([]float64, len(types))
	for i, name := range types {
		seconds[i] = s.types[name].Lease.Seconds()
	}
	return seconds
}

func ownedBy(r *run.Run, owned []string) error {
	if slices.Contains(owned, r.Type) {
		return nil
	}
	return errs.Denied(run.ReasonTypeNotOwned, "runs of type %s belong to another service", r.Type)
}
