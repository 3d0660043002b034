package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// beginning is an ask to begin a queued run.
type beginning struct {
	service, holder string
	id              int64
}

// Beginning queued runs, the usual case: guarded, and shared by those who come
// at the same time. The "is true" keeps the planner to the primary key: the index
// of active runs looks cheaper to it whenever there were few when it last looked.
const beginQueued = `-- store.beginQueued
	with a as (
		select a.*, o.type, o.lease
		from unnest($1::bigint[], $2::text[], $3::text[]) with ordinality as a (run_id, holder, service, place)
		join unnest($4::text[], $5::text[], $6::float8[]) as o (type, owner, lease) on o.owner = a.service
	), n as (
		update operation_runs r set status = 'running', lease_epoch = lease_epoch + 1, attempt = attempt + 1, released_epoch = null,
			started_at = coalesce(started_at, greatest(clock_timestamp(), created_at)), updated_at = clock_timestamp(),
			event_count = event_count + 1
		from a
		where r.id = a.run_id and r.type = a.type and (r.status = 'queued') is true and r.origin = 'live'
		returning r.*, a.place, a.holder, clock_timestamp() + make_interval(secs => a.lease) as expires_at, a.service
	), l as (
		insert into run_lease (run_id, epoch, holder, expires_at)
		select id, lease_epoch, holder, expires_at from n
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
		select id, event_count, 'begun', service, status, outcome, lease_epoch, attempt, jsonb_build_object('holder', holder) from n
	)
	select r.place,` + runColumns + ` from n r join lateral (` + newLease + `) l on true`

func (s *Store) beginAll(ctx context.Context, asks []beginning) ([]*row, error) {
	ids, holders, services := make([]int64, len(asks)), make([]string, len(asks)), make([]string, len(asks))
	for i, a := range asks {
		ids[i], holders[i], services[i] = a.id, a.holder, a.service
	}
	begun, err := placed(ctx, s.db, len(asks), beginQueued, ids, holders, services, s.owners.types, s.owners.names, s.owners.leases)
	s.moved()
	return begun, err
}

// Begin leases run id to holder for service; see [run.Run.Begin].
func (s *Store) Begin(ctx context.Context, service string, id int64, holder string) (*run.Run, error) {
	r, err := s.begins.do(ctx, beginning{service: service, id: id, holder: holder})
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
	return begun, begun.Refusal() // an exhausted or cancelled run ended instead of being taken over
}

// report is a heartbeat.
type report struct {
	service   string
	id, epoch int64
	counts    map[string]int64
}

// A heartbeat touches the narrow lease row only, and only under its epoch.
const reportProgress = `-- store.reportProgress
	with a as (
		select a.*, o.type, o.lease
		from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) with ordinality as a (run_id, epoch, counts, service, place)
		join unnest($5::text[], $6::text[], $7::float8[]) as o (type, owner, lease) on o.owner = a.service
	)
	update run_lease l set
		expires_at = clock_timestamp() + make_interval(secs => a.lease),
		summary_counts = case when a.counts <> '{}' then a.counts::jsonb else l.summary_counts end
	from a join operation_runs r on r.id = a.run_id and r.type = a.type
	where l.run_id = a.run_id and l.epoch = a.epoch
	returning a.place, l.expires_at, r.cancel_requested_at is not null, coalesce(r.cancel_reason, '')`

func (s *Store) reportAll(ctx context.Context, asks []report) ([]*Heartbeat, error) {
	n := len(asks)
	ids, epochs, counts, services := make([]int64, n), make([]int64, n), make([]string, n), make([]string, n)
	for i, a := range asks {
		ids[i], epochs[i], services[i] = a.id, a.epoch, a.service
		var err error
		if counts[i], err = jsonText(object(a.counts)); err != nil {
			return nil, err
		}
	}
	rows, err := s.db.Query(ctx, reportProgress, ids, epochs, counts, services, s.owners.types, s.owners.names, s.owners.leases)
	if err != nil {
		return nil, err
	}
	beats := make([]*Heartbeat, n)
	var told []int64
	var place int
	var h Heartbeat
	_, err = pgx.ForEachRow(rows, []any{&place, &h.ExpiresAt, &h.CancelRequested, &h.CancelReason}, func() error {
		beat := h
		beats[place-1] = &beat
		if ask := asks[place-1]; len(ask.counts) > 0 {
			told = append(told, ask.id)
		}
		return nil
	})
	if len(told) > 0 {
		s.progressed(told)
	}
	return beats, err
}

// Heartbeat is what a worker is told when it reports.
type Heartbeat struct {
	ExpiresAt       time.Time
	CancelRequested bool
	CancelReason    string
}

// Progress extends the lease of run id under epoch and stores counts, if any;
// see [run.Run.Progress].
func (s *Store) Progress(ctx context.Context, service string, id, epoch int64, counts map[string]int64) (Heartbeat, error) {
	beat, err := s.reports.do(ctx, report{service: service, id: id, epoch: epoch, counts: counts})
	if beat != nil || err != nil {
		return deref(beat), err
	}
	return Heartbeat{}, s.unreported(ctx, service, id, epoch)
}

// Report is a heartbeat among others.
type Report struct {
	RunID, Epoch int64
	Counts       map[string]int64
}

// ProgressAll is [Store.Progress] for many, each with its own answer or error,
// in the order asked.
func (s *Store) ProgressAll(ctx context.Context, service string, reports []Report) ([]Heartbeat, []error) {
	asks := make([]report, len(reports))
	for i, r := range reports {
		asks[i] = report{service: service, id: r.RunID, epoch: r.Epoch, counts: r.Counts}
	}
	beats, refused := make([]Heartbeat, len(asks)), make([]error, len(asks))
	told := s.reports.doAll(ctx, asks)
	settle(len(asks), func(i int) bool { return told[i].answer == nil && told[i].err == nil }, func(i int) {
		if beats[i], refused[i] = deref(told[i].answer), told[i].err; told[i].answer == nil && refused[i] == nil {
			refused[i] = s.unreported(ctx, service, asks[i].id, asks[i].epoch)
		}
	})
	return beats, refused
}

// unreported says why a heartbeat found no lease to extend.
func (s *Store) unreported(ctx context.Context, service string, id, epoch int64) error {
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
	// Begun under this very epoch between the two statements: say it again.
	return errs.Unavailable("RUN_MOVED", "run %d moved while this was read; repeat the call", id)
}

func ownedBy(r *run.Run, owned []string) error {
	if slices.Contains(owned, r.Type) {
		return nil
	}
	return errs.Denied(run.ReasonTypeNotOwned, "runs of type %s belong to another service", r.Type)
}
