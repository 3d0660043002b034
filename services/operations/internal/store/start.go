package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// A start is one statement and one commit, shared with those that come at the
// same time. It creates nothing if the request id is known or the identity has an
// active run; two requests racing with one id collide on run_request's key, and
// the loser looks again. The answers carry the place of their ask, but not the
// context: who asks has it.
const insertRuns = `-- store.insertRuns
	with a as (
		select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::int[],
			$9::text[], $10::float8[], $11::bigint[], $12::int[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::bytea[])
			with ordinality as a (workspace_id, tenant_id, user_id, initiator_name, type, hash, context, max_attempts,
				holder, lease, retry_of, retry_number, parent_run_id, traceparent, caller, request_id, digest, place)
	), n as (
		insert into operation_runs (workspace_id, tenant_id, user_id, initiator_name, type, status, outcome, run_identity_hash,
			context, started_at, queued_at, lease_epoch, attempt, max_attempts, retry_of, retry_number, parent_run_id, traceparent,
			created_at, updated_at, event_count)
		select a.workspace_id, a.tenant_id, a.user_id, a.initiator_name, a.type,
			case when a.holder = '' then 'queued' else 'running' end, 'pending', a.hash, a.context::jsonb,
			case when a.holder <> '' then t.now end, case when a.holder = '' then t.now end,
			(a.holder <> '')::int, (a.holder <> '')::int, a.max_attempts,
			a.retry_of, a.retry_number, a.parent_run_id, a.traceparent, t.now, t.now, 1
		from a, (select clock_timestamp() as now) t
		where (a.request_id = '' or not exists (select from run_request q
				where q.workspace_id = a.workspace_id and q.caller = a.caller and q.request_id = a.request_id))
			and not exists (select from workspace_hold h where h.workspace_id = a.workspace_id and not h.starts_allowed)
		order by a.workspace_id, a.type, a.hash
		on conflict do nothing
		returning *
	), r as (
		select n.*, a.place, a.holder, clock_timestamp() + make_interval(secs => a.lease) as expires_at, a.caller, a.request_id, a.digest
		from n join a on a.workspace_id = n.workspace_id and a.type = n.type and a.hash = n.run_identity_hash
	), q as (
		insert into run_request (workspace_id, caller, request_id, run_id, digest, started)
		select workspace_id, caller, request_id, id, digest, true from r where request_id <> ''
	), l as (
		insert into run_lease (run_id, epoch, holder, expires_at)
		select id, 1, holder, expires_at from r where holder <> ''
	), e as (
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt, detail)
		select id, 1, 'created', initiator_name, status, outcome, lease_epoch, attempt, jsonb_build_object('caller', caller) from r
	), b as (
		insert into run_label (workspace_id, key, value, created_at, run_id)
		select r.workspace_id, k.key, k.value, r.created_at, r.id
		from r join unnest($18::int[], $19::text[], $20::text[]) as k (place, key, value) on k.place = r.place
	)
	select r.place,` + basicColumns + ` from r left join lateral (` + newLease + `) l on r.holder <> ''`

// newLease is the lease that the statement itself gives r. To join what it inserts
// would compare every lease with every run.
const newLease = `select r.holder, r.expires_at, '{}'::jsonb as summary_counts`

// insert answers the run of each ask in its place, nil where none was created.
func insert(ctx context.Context, q querier, asks []run.Start) ([]*row, error) {
	n := len(asks)
	workspaces, tenants, users := make([]int64, n), make([]*int64, n), make([]*int64, n)
	initiators, types, hashes, contexts := make([]string, n), make([]string, n), make([][]byte, n), make([]string, n)
	attempts, holders, leases := make([]int, n), make([]string, n), make([]float64, n)
	originals, numbers, parents, traces := make([]*int64, n), make([]int, n), make([]*int64, n), make([]string, n)
	callers, requests, digests := make([]string, n), make([]string, n), make([][]byte, n)
	var places []int
	var keys, values []string
	for i, a := range asks {
		workspaces[i], tenants[i], users[i] = a.WorkspaceID, a.TenantID, a.UserID
		initiators[i], types[i], hashes[i], contexts[i] = a.InitiatorName, a.Type.Name, a.Identity(), string(a.Context)
		attempts[i], holders[i], leases[i] = a.Type.MaxAttempts, a.Holder, a.Type.Lease.Seconds()
		originals[i], numbers[i], parents[i], traces[i] = a.RetryOf, a.RetryNumber, a.ParentRunID, a.Traceparent
		callers[i], requests[i], digests[i] = a.Caller, a.RequestID, a.Digest
		for key, value := range a.Labels() {
			places, keys, values = append(places, i+1), append(keys, key), append(values, value)
		}
	}
	made, err := placed(ctx, q, n, insertRuns, workspaces, tenants, users, initiators, types, hashes, contexts, attempts, holders, leases,
		originals, numbers, parents, traces, callers, requests, digests, places, keys, values)
	for i, r := range made {
		if r != nil {
			r.Context = asks[i].Context
		}
	}
	return made, err
}

func (s *Store) startAll(ctx context.Context, asks []run.Start) ([]*row, error) {
	made, err := insert(ctx, s.db, asks)
	s.moved()
	s.metrics.began(made...)
	return made, err
}

var startSeed = maphash.MakeSeed()

// startKeys are what two starts may not both have in one statement: the identity,
// by what it is made of, and the request id.
func startKeys(a run.Start) keys {
	type said struct {
		workspaceID, tenantID int64
		by, what              string
	}
	k := keys{maphash.Comparable(startSeed, said{a.WorkspaceID, deref(a.TenantID), a.Type.Name, a.IdentityInputs})}
	if a.RequestID != "" {
		k[1] = maphash.Comparable(startSeed, said{a.WorkspaceID, 0, a.Caller, a.RequestID})
	}
	return k
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
	if err := s.checkReferences(ctx, &a, nil); err != nil {
		return s.saidBefore(ctx, a, err)
	}
	made, err := s.starts.do(ctx, a)
	return s.started(ctx, a, made, err)
}

// StartAll is [Store.Start] for many, each with its own answer or error, in the
// order asked. What can share statements does.
func (s *Store) StartAll(ctx context.Context, asks []run.Start) ([]Started, []error) {
	started, refused := make([]Started, len(asks)), make([]error, len(asks))
	var places []int
	var sound []run.Start
	known := map[int64]*row{}
	for i := range asks {
		if err := s.checkReferences(ctx, &asks[i], known); err != nil {
			started[i], refused[i] = s.saidBefore(ctx, asks[i], err)
			continue
		}
		places, sound = append(places, i), append(sound, asks[i])
	}
	made := s.starts.doAll(ctx, sound)
	settle(len(sound), func(n int) bool { return made[n].answer == nil }, func(n int) {
		i := places[n]
		started[i], refused[i] = s.started(ctx, sound[n], made[n].answer, made[n].err)
	})
	return started, refused
}

// started answers what came of inserting a, or deals with what stood in its way.
func (s *Store) started(ctx context.Context, a run.Start, made *row, err error) (Started, error) {
	for try := 1; ; try++ {
		switch {
		case pg.Constraint(err) == "run_request_pkey":
		case err != nil:
			return Started{}, fmt.Errorf("insert run: %w", err)
		case made != nil:
			return Started{Run: &made.Run, Started: true}, nil
		}
		if met, err := s.meet(ctx, a); err != nil || met.Run != nil {
			return met, err
		}
		if try == startTries {
			return Started{}, errs.Unavailable("RUN_MOVED", "runs of this identity start and end too fast; repeat the call")
		}
		made, err = s.starts.do(ctx, a)
	}
}

// meet answers what stands in the way of a: its own earlier answer, or an active
// twin. Nothing (and no error) means it has gone meanwhile: insert again.
func (s *Store) meet(ctx context.Context, a run.Start) (Started, error) {
	if a.RequestID != "" {
		if answered, err := s.replay(ctx, s.db, a); err != nil || answered.Run != nil {
			return answered, err
		}
	}
	twin, err := one(ctx, s.db, activeTwin, a.WorkspaceID, a.Type.Name, a.Identity())
	switch {
	case err != nil:
		return Started{}, err
	case twin == nil:
		return Started{}, s.refuseHeld(ctx, a.WorkspaceID)
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

const isHeld = `-- store.isHeld
	select exists (select from workspace_hold where workspace_id = $1 and not starts_allowed)`

// refuseHeld fails while the history of the workspace is being taken over.
func (s *Store) refuseHeld(ctx context.Context, workspaceID int64) error {
	var held bool
	if err := s.db.QueryRow(ctx, isHeld, workspaceID).Scan(&held); err != nil || !held {
		return err
	}
	return errs.Conflict(run.ReasonTakeoverInProgress,
		"workspace %d is being taken over: no run starts in it until the cut-over of the takeover", workspaceID)
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
	select $1, $2, $3, id, $5, false from operation_runs where id = $4 for key share -- it stays until this is committed
	on conflict do nothing`

// join answers twin, and remembers that a's request id was answered so.
func (s *Store) join(ctx context.Context, a run.Start, twin *run.Run) (Started, error) {
	if a.RequestID == "" {
		return Started{Run: twin}, nil
	}
	tag, err := s.db.Exec(ctx, insertJoin, a.WorkspaceID, a.Caller, a.RequestID, twin.ID, a.Digest)
	switch {
	case err != nil:
		return Started{}, fmt.Errorf("remember join of run %d: %w", twin.ID, err)
	case tag.RowsAffected() == 0: // the same request was faster elsewhere, or the twin has gone
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
	var ended, busy *run.Run
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		twin, err := lock(ctx, tx, twinID)
		if err != nil || twin == nil || twin.Status == run.Completed {
			return err
		}
		if e, ok := twin.Supersede(twin.now, a.Caller); ok {
			if ended, err = s.write(ctx, tx, &twin.Run, e); err != nil {
				return err
			}
			made, err := insert(ctx, tx, []run.Start{a})
			if err != nil {
				return err
			}
			if made[0] == nil { // unreachable while the twin's row is ours, unless the request id is known by now
				return errSeeAgain
			}
			started = Started{Run: &made[0].Run, Started: true}
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
	s.moved()
	switch {
	case errors.Is(err, errSeeAgain), pg.Constraint(err) == "run_request_pkey":
		return Started{}, nil
	case err != nil:
		return Started{}, fmt.Errorf("supersede run %d: %w", twinID, err)
	case busy != nil:
		return Started{}, busy.AlreadyActive().RetryIn(supersedeRetry)
	case started.Run != nil:
		s.metrics.end(ended)
		s.metrics.start(started.Run)
	}
	return started, nil
}

var errSeeAgain = errors.New("the way is blocked by something else now")

// checkReferences checks that what a names exists in its workspace. Those of a
// batch are often the same: known, if not nil, keeps what was read.
func (s *Store) checkReferences(ctx context.Context, a *run.Start, known map[int64]*row) error {
	if a.ParentRunID != nil {
		if _, err := s.referenced(ctx, "parent_run_id", a.WorkspaceID, *a.ParentRunID, known); err != nil {
			return err
		}
	}
	if a.RetryOf == nil {
		return nil
	}
	original, err := s.referenced(ctx, "retry_of", a.WorkspaceID, *a.RetryOf, known)
	if err != nil {
		return err
	}
	return a.Retry(original)
}

// saidBefore answers a, whose references are refused, as it was answered before:
// they may have been removed since. If it was not, it is refused.
func (s *Store) saidBefore(ctx context.Context, a run.Start, refusal error) (Started, error) {
	if a.RequestID != "" {
		if answered, err := s.replay(ctx, s.db, a); err != nil || answered.Run != nil {
			return answered, err
		}
	}
	return Started{}, refusal
}

func (s *Store) referenced(ctx context.Context, field string, workspaceID, id int64, known map[int64]*row) (*run.Run, error) {
	r, ok := known[id]
	if !ok {
		var err error
		if r, err = one(ctx, s.db, getRun, id); err != nil {
			return nil, err
		}
		if known != nil {
			known[id] = r
		}
	}
	if r == nil || r.WorkspaceID != workspaceID {
		return nil, errs.Invalid(field, "there is no run %d in workspace %d", id, workspaceID)
	}
	return &r.Run, nil
}
