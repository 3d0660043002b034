package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// A start is one statement and one commit when nothing is in its way: it creates
// nothing if the request id is known or the identity has an active run. Two
// requests racing with one id collide on run_request's key; the loser looks again.
const insertRun = `-- store.insertRun
	with r as (
		insert into operation_runs (workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
			context, started_at, queued_at, lease_epoch, attempt, max_attempts, retry_of, retry_number, parent_run_id, traceparent,
			created_at, event_count)
		select $1::bigint, $2::bigint, $3::bigint, $4::text, $5::text, case when $9::text = '' then 'queued' else 'running' end, 'pending', $6::bytea, $7::jsonb,
			case when $9::text <> '' then t.now end, case when $9::text = '' then t.now end,
			case when $9::text = '' then 0 else 1 end, case when $9::text = '' then 0 else 1 end, $8::int,
			$11::bigint, $12::int, $13::bigint, $14::text, t.now, 1
		from (select clock_timestamp() as now) t
		where not exists (select 1 from run_request q where q.workspace_id = $1::bigint and q.caller = $15::text and q.request_id = $16::text)
		on conflict do nothing
		returning *
	), q as (
		insert into run_request (workspace_id, caller, request_id, run_id, digest, started)
		select $1::bigint, $15::text, $16::text, id, $17::bytea, true from r where $16::text <> ''
	), l as (
		insert into run_lease (run_id, epoch, holder, expires_at)
		select id, 1, $9::text, clock_timestamp() + make_interval(secs => $10::float8) from r where $9::text <> ''
		returning *
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
		select id, 1, 'created', $15::text, status, outcome, lease_epoch, attempt, jsonb_build_object('initiator_name', $4::text) from r
	), b as (
		insert into run_label (workspace_id, key, value, run_id)
		select $1::bigint, k.key, k.value, id from r, unnest($18::text[], $19::text[]) as k(key, value)
	)
	select` + runColumns + ` from r left join l on l.run_id = r.id`

func insert(ctx context.Context, q querier, a run.Start) (*row, error) {
	labels := a.Labels()
	keys := slices.Sorted(maps.Keys(labels))
	values := make([]string, len(keys))
	for i, k := range keys {
		values[i] = labels[k]
	}
	return one(ctx, q, insertRun, a.WorkspaceID, a.TenantID, a.UserID, a.InitiatorName, a.Type.Name,
		run.Identity(a.TenantID, a.Type.Name, a.IdentityInputs), a.Context, a.Type.MaxAttempts, a.Holder, a.Type.Lease.Seconds(),
		a.RetryOf, a.RetryNumber, a.ParentRunID, a.Traceparent, a.Caller, a.RequestID, a.Digest, keys, values)
}

// Started answers a start.
type Started struct {
	Run      *run.Run
	Started  bool // this request created the run, now or when first said
	Replayed bool // this answer repeats an earlier one of the same request id
}

// startTries bounds how often a start looks again after a twin moved under its eyes.
const startTries = 10

// Start creates the run a asks for, or answers the one that stands for it.
func (s *Store) Start(ctx context.Context, a run.Start) (Started, error) {
	if err := s.checkReferences(ctx, &a); err != nil {
		return Started{}, err
	}
	for range startTries {
		r, err := insert(ctx, s.db, a)
		switch {
		case pg.Constraint(err) == "run_request_pkey":
		case err != nil:
			return Started{}, fmt.Errorf("insert run: %w", err)
		case r != nil:
			return Started{Run: &r.Run, Started: true}, nil
		}
		started, err := s.meet(ctx, a)
		if err != nil || started.Run != nil {
			return started, err
		}
	}
	return Started{}, errs.Unavailable("RUN_MOVED", "runs of this identity start and end too fast; repeat the call")
}

// meet answers what stands in the way of a: its own earlier answer, or an active
// twin. Nothing (and no error) means it has gone meanwhile: insert again.
func (s *Store) meet(ctx context.Context, a run.Start) (Started, error) {
	if a.RequestID != "" {
		if answered, err := s.replay(ctx, s.db, a); err != nil || answered.Run != nil {
			return answered, err
		}
	}
	twin, err := one(ctx, s.db, activeTwin, a.WorkspaceID, a.Type.Name, run.Identity(a.TenantID, a.Type.Name, a.IdentityInputs))
	if err != nil || twin == nil {
		return Started{}, err
	}
	switch a.Policy {
	case run.FailOnExisting:
		return Started{}, twin.AlreadyActive()
	case run.CancelExisting:
		return s.supersede(ctx, a, twin.ID)
	default:
		return s.join(ctx, a, &twin.Run)
	}
}

const activeTwin = `-- store.activeTwin
	select` + runColumns + `
	from operation_runs r left join run_lease l on l.run_id = r.id
	where r.workspace_id = $1 and r.type = $2 and r.run_identity_hash = $3 and r.status <> 'completed' and r.origin = 'live'`

const getRequest = `-- store.getRequest
	select run_id, digest, started from run_request where workspace_id = $1 and caller = $2 and request_id = $3`

// replay answers what a's request id was answered with before, if it was.
func (s *Store) replay(ctx context.Context, q querier, a run.Start) (Started, error) {
	var id int64
	var digest []byte
	var started bool
	rows, err := q.Query(ctx, getRequest, a.WorkspaceID, a.Caller, a.RequestID)
	if err != nil {
		return Started{}, err
	}
	_, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(&id, &digest, &started)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Started{}, nil
	case err != nil:
		return Started{}, fmt.Errorf("get request: %w", err)
	case !bytes.Equal(digest, a.Digest):
		return Started{}, errs.Invalid("request_id", "was used before for another request (run %d); use a new one", id).
			WithReason(run.ReasonRequestIDReused).With("run_id", strconv.FormatInt(id, 10))
	}
	r, err := one(ctx, q, getRun, id)
	if err != nil || r == nil {
		return Started{}, err
	}
	return Started{Run: &r.Run, Started: started, Replayed: true}, nil
}

const insertJoin = `-- store.insertJoin
	insert into run_request (workspace_id, caller, request_id, run_id, digest, started)
	values ($1, $2, $3, $4, $5, false) on conflict do nothing`

// join answers twin, and remembers that a's request id was answered so.
func (s *Store) join(ctx context.Context, a run.Start, twin *run.Run) (Started, error) {
	if a.RequestID == "" {
		return Started{Run: twin}, nil
	}
	tag, err := s.db.Exec(ctx, insertJoin, a.WorkspaceID, a.Caller, a.RequestID, twin.ID, a.Digest)
	switch {
	case err != nil:
		return Started{}, fmt.Errorf("remember join of run %d: %w", twin.ID, err)
	case tag.RowsAffected() == 0: // the same request was faster elsewhere
		return s.replay(ctx, s.db, a)
	}
	return Started{Run: twin}, nil
}

// supersedeRetry is how soon a caller may ask again for a run whose twin was told to stop.
const supersedeRetry = time.Second

// supersede ends the twin nobody works on and starts a in one transaction; a
// twin at work is asked to stop, and the caller to come again.
func (s *Store) supersede(ctx context.Context, a run.Start, twinID int64) (Started, error) {
	var started Started
	var busy *run.Run
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		twin, err := lock(ctx, tx, twinID)
		if err != nil || twin == nil || twin.Status == run.Completed {
			return err
		}
		if e, ok := twin.Supersede(twin.now, a.Caller); ok {
			if _, err := s.write(ctx, tx, &twin.Run, e); err != nil {
				return err
			}
			r, err := insert(ctx, tx, a)
			if err != nil {
				return err
			}
			if r == nil { // unreachable while the twin's row is ours, unless the request id is known by now
				return errSeeAgain
			}
			started = Started{Run: &r.Run, Started: true}
			return nil
		}
		busy = &twin.Run
		e := twin.RequestCancel(twin.now, a.Caller, "superseded by a newer start")
		if e == nil {
			return nil
		}
		_, err = s.write(ctx, tx, &twin.Run, e)
		return err
	})
	switch {
	case errors.Is(err, errSeeAgain), pg.Constraint(err) == "run_request_pkey":
		return Started{}, nil
	case err != nil:
		return Started{}, fmt.Errorf("supersede run %d: %w", twinID, err)
	case busy != nil:
		return Started{}, busy.AlreadyActive().RetryIn(supersedeRetry)
	}
	return started, nil
}

var errSeeAgain = errors.New("the way is blocked by something else now")

// checkReferences checks that what a names exists in its workspace.
func (s *Store) checkReferences(ctx context.Context, a *run.Start) error {
	if a.ParentRunID != nil {
		if _, err := s.referenced(ctx, "parent_run_id", a.WorkspaceID, *a.ParentRunID); err != nil {
			return err
		}
	}
	if a.RetryOf == nil {
		return nil
	}
	original, err := s.referenced(ctx, "retry_of", a.WorkspaceID, *a.RetryOf)
	if err != nil {
		return err
	}
	return a.Retry(original)
}

func (s *Store) referenced(ctx context.Context, field string, workspaceID, id int64) (*run.Run, error) {
	r, err := one(ctx, s.db, getRun, id)
	switch {
	case err != nil:
		return nil, err
	case r == nil || r.WorkspaceID != workspaceID:
		return nil, errs.Invalid(field, "there is no run %d in workspace %d", id, workspaceID)
	}
	return &r.Run, nil
}
