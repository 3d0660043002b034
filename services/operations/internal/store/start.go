package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// startColumns are what insertRunsSQL is told about each start. Empty texts stand for
// no holder and no request id.
var startColumns = columns[run.Start]{
	col("workspace_id", bigint, func(a *run.Start) int64 { return a.WorkspaceID }),
	col("tenant_id", nullableBigint, func(a *run.Start) *int64 { return a.TenantID }),
	col("user_id", nullableBigint, func(a *run.Start) *int64 { return a.UserID }),
	col("initiator_name", text, func(a *run.Start) string { return a.InitiatorName }),
	col("type", text, func(a *run.Start) string { return a.Type.Name }),
	col("hash", bytea, func(a *run.Start) []byte { return a.Identity() }),
	col("context", text, func(a *run.Start) string { return string(a.Context) }),
	col("max_attempts", integer, func(a *run.Start) int { return a.Type.MaxAttempts }),
	col("holder", text, func(a *run.Start) string { return a.Holder }),
	col("lease", float8, func(a *run.Start) float64 { return a.Type.Lease.Seconds() }),
	col("retry_of", nullableBigint, func(a *run.Start) *int64 { return a.RetryOf }),
	col("retry_number", integer, func(a *run.Start) int { return a.RetryNumber }),
	col("parent_run_id", nullableBigint, func(a *run.Start) *int64 { return a.ParentRunID }),
	col("traceparent", text, func(a *run.Start) string { return a.Traceparent }),
	col("caller", text, func(a *run.Start) string { return a.Caller }),
	col("request_id", text, func(a *run.Start) string { return a.RequestID }),
	col("digest", bytea, func(a *run.Start) []byte { return a.Digest }),
}

// label is a label of the run of a start.
type label struct {
	ordinal    int // of the start
	key, value string
}

var labelColumns = columns[label]{
	col("ordinal", integer, func(l *label) int { return l.ordinal }),
	col("key", text, func(l *label) string { return l.key }),
	col("value", text, func(l *label) string { return l.value }),
}

// Creates runs. It creates none for a call whose request id is known, whose identity
// has an active run, or whose workspace is held. Two statements with one request id
// collide on run_request's key; the one that fails then finds the id known. The runs
// are returned without their contexts, which the callers have.
var insertRunsSQL = `-- store.insertRuns
	with a as (
		select * from ` + startColumns.unnestOrdinal("a", 1) + `
	), ` + roomSQL + `, n as (
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
			and (a.holder <> '' or a.ordinal in (select ordinal from admitted))
		order by a.workspace_id, a.type, a.hash
		on conflict do nothing
		returning *
	), r as (
		select n.*, a.ordinal, a.holder, clock_timestamp() + make_interval(secs => a.lease) as expires_at, a.caller, a.request_id, a.digest
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
		from r join ` + labelColumns.unnest("k", len(startColumns)+1) + ` on k.ordinal = r.ordinal
	)
	select r.ordinal,` + basicColumns + ` from r left join lateral (` + newLeaseSQL + `) l on r.holder <> ''`

// newLeaseSQL is the lease that the statement gives to run r. It is selected from r,
// since joining what the statement inserts would compare every lease with every run.
const newLeaseSQL = `select r.holder, r.expires_at, '{}'::jsonb as summary_counts`

// insertRuns returns the run that each start created, or nil.
func insertRuns(ctx context.Context, q querier, maxQueued int, starts []run.Start) ([]*row, error) {
	args := append(startColumns.arrays(starts), labelColumns.arrays(labelsOf(starts))...)
	created, err := queryByOrdinal(ctx, q, len(starts), insertRunsSQL, append(args, maxQueued)...)
	for i, r := range created {
		if r != nil {
			r.Context = starts[i].Context
		}
	}
	return created, err
}

func labelsOf(starts []run.Start) []label {
	var labels []label
	for i, a := range starts {
		for key, value := range a.Labels() {
			labels = append(labels, label{ordinal: i + 1, key: key, value: value})
		}
	}
	return labels
}

func (s *Store) execStarts(ctx context.Context, starts []run.Start) ([]*row, error) {
	created, err := insertRuns(ctx, s.db, s.maxQueued, starts)
	s.onCommit()
	s.metrics.countStarts(created)
	return created, err
}

var startSeed = maphash.MakeSeed()

// startKeys are what no two starts of a statement may have in common: the identity,
// by its parts, and the request id.
func startKeys(a run.Start) commit.Keys {
	type scope struct {
		workspaceID, tenantID int64
		by, value             string
	}
	k := commit.Keys{maphash.Comparable(startSeed, scope{a.WorkspaceID, deref(a.TenantID), a.Type.Name, a.IdentityInputs})}
	if a.RequestID != "" {
		k[1] = maphash.Comparable(startSeed, scope{a.WorkspaceID, 0, a.Caller, a.RequestID})
	}
	return k
}

// StartResult is the result of a start.
type StartResult struct {
	Run      *run.Run
	Started  bool // the request created the run, now or when it was first made
	Replayed bool // the result repeats that of an earlier request with this id
}

// maxStartTries bounds how often a start is repeated because the run that stood in
// its way was gone when it was read.
const maxStartTries = 10

// Start creates the run that a describes, or returns the one that stands for it.
func (s *Store) Start(ctx context.Context, a run.Start) (StartResult, error) {
	if err := s.checkReferences(ctx, &a, nil); err != nil {
		return s.replayOr(ctx, a, err)
	}
	created, err := s.startGroup.Do(ctx, a)
	return s.finishStart(ctx, a, created, err)
}

// StartBatch is [Store.Start] for many. The results and errors are in the order of starts.
func (s *Store) StartBatch(ctx context.Context, starts []run.Start) ([]StartResult, []error) {
	results, refusals := make([]StartResult, len(starts)), make([]error, len(starts))
	var indices []int // in starts, of the valid ones
	var valid []run.Start
	known := map[int64]*row{}
	for i := range starts {
		if err := s.checkReferences(ctx, &starts[i], known); err != nil {
			results[i], refusals[i] = s.replayOr(ctx, starts[i], err)
			continue
		}
		indices, valid = append(indices, i), append(valid, starts[i])
	}
	created := s.startGroup.DoAll(ctx, valid)
	commit.Settle(len(valid), func(n int) bool { return created[n].Value == nil }, func(n int) {
		i := indices[n]
		results[i], refusals[i] = s.finishStart(ctx, valid[n], created[n].Value, created[n].Err)
	})
	return results, refusals
}

// finishStart returns the result of the shared statement. If the statement created no
// run, it finds out what was in the way, and repeats the start if that is gone.
func (s *Store) finishStart(ctx context.Context, a run.Start, created *row, err error) (StartResult, error) {
	for try := 1; ; try++ {
		switch {
		case pg.Constraint(err) == "run_request_pkey": // another statement has just used the request id
		case err != nil:
			return StartResult{}, fmt.Errorf("insert run: %w", err)
		case created != nil:
			return StartResult{Run: &created.Run, Started: true}, nil
		}
		if r, err := s.resolveConflict(ctx, a); err != nil || r.Run != nil {
			return r, err
		}
		if try == maxStartTries {
			return StartResult{}, errs.Unavailable("RUN_MOVED", "runs of this identity start and end too fast; repeat the call")
		}
		created, err = s.startGroup.Do(ctx, a)
	}
}

// resolveConflict returns the result of a start that created no run: that of an
// earlier request with its id, or what its policy makes of the active twin. An empty
// result without an error means that nothing is in the way any longer.
func (s *Store) resolveConflict(ctx context.Context, a run.Start) (StartResult, error) {
	if a.RequestID != "" {
		if r, err := s.replay(ctx, s.db, a); err != nil || r.Run != nil {
			return r, err
		}
	}
	twin, err := queryRun(ctx, s.db, activeTwinSQL, a.WorkspaceID, a.Type.Name, a.Identity())
	switch {
	case err != nil:
		return StartResult{}, err
	case twin == nil:
		if err := s.refuseHeld(ctx, a.WorkspaceID); err != nil {
			return StartResult{}, err
		}
		return StartResult{}, s.refuseFull(ctx, a)
	}
	switch a.Policy {
	case run.FailOnExisting:
		return StartResult{}, twin.AlreadyActive()
	case run.CancelExisting:
		return s.supersede(ctx, a, twin.ID)
	default:
		return s.join(ctx, a, &twin.Run)
	}
}

const isHeldSQL = `-- store.isHeld
	select exists (select from workspace_hold where workspace_id = $1 and not starts_allowed)`

// refuseHeld returns an error while the history of the workspace is being taken over.
func (s *Store) refuseHeld(ctx context.Context, workspaceID int64) error {
	var held bool
	if err := s.db.QueryRow(ctx, isHeldSQL, workspaceID).Scan(&held); err != nil || !held {
		return err
	}
	return errs.Conflict(run.ReasonTakeoverInProgress,
		"workspace %d is being taken over: no run starts in it until the cut-over of the takeover", workspaceID)
}

const activeTwinSQL = `-- store.activeTwin
	select` + runColumns + `
	from operation_runs r left join run_lease l on l.run_id = r.id
	where r.workspace_id = $1 and r.type = $2 and r.run_identity_hash = $3 and r.status <> 'completed' and r.origin = 'live'`

const getRequestSQL = `-- store.getRequest
	select run_id, digest, started from run_request where workspace_id = $1 and caller = $2 and request_id = $3`

// replay returns the result of the earlier request with the id of a, or an empty one.
func (s *Store) replay(ctx context.Context, q querier, a run.Start) (StartResult, error) {
	var id int64
	var digest []byte
	var started bool
	rows, err := q.Query(ctx, getRequestSQL, a.WorkspaceID, a.Caller, a.RequestID)
	if err != nil {
		return StartResult{}, err
	}
	_, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(&id, &digest, &started)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return StartResult{}, nil
	case err != nil:
		return StartResult{}, fmt.Errorf("get request: %w", err)
	}
	if reused := once.Check(digest, a.Digest); reused != nil {
		return StartResult{}, reused.With("run_id", strconv.FormatInt(id, 10))
	}
	r, err := queryRun(ctx, q, getRunSQL, id)
	if err != nil || r == nil {
		return StartResult{}, err
	}
	return StartResult{Run: &r.Run, Started: started, Replayed: true}, nil
}

// The lock keeps retention from removing the run before this is committed.
const insertJoinSQL = `-- store.insertJoin
	insert into run_request (workspace_id, caller, request_id, run_id, digest, started)
	select $1, $2, $3, id, $5, false from operation_runs where id = $4 for key share
	on conflict do nothing`

// join returns twin as the result of a, and records that for the request id of a.
func (s *Store) join(ctx context.Context, a run.Start, twin *run.Run) (StartResult, error) {
	if a.RequestID == "" {
		return StartResult{Run: twin}, nil
	}
	tag, err := s.db.Exec(ctx, insertJoinSQL, a.WorkspaceID, a.Caller, a.RequestID, twin.ID, a.Digest)
	switch {
	case err != nil:
		return StartResult{}, fmt.Errorf("remember join of run %d: %w", twin.ID, err)
	case tag.RowsAffected() == 0: // the same request was faster elsewhere, or the twin was removed
		return s.replay(ctx, s.db, a)
	}
	return StartResult{Run: twin}, nil
}

// supersedeRetry is when a caller may repeat a start whose twin was asked to stop.
const supersedeRetry = time.Second

// supersede ends the twin and starts a, in one transaction, if nobody works on the
// twin. Otherwise it requests that the twin be cancelled, and returns an error that
// tells the caller to repeat the start.
func (s *Store) supersede(ctx context.Context, a run.Start, twinID int64) (StartResult, error) {
	var result StartResult
	var ended, busy *run.Run
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		twin, err := lockRun(ctx, tx, twinID)
		if err != nil || twin == nil || twin.Status == run.Completed {
			return err
		}
		if e, ok := twin.Supersede(twin.now, a.Caller); ok {
			if ended, err = s.writeRun(ctx, tx, &twin.Run, e); err != nil {
				return err
			}
			result, err = startIn(ctx, tx, a)
			return err
		}
		busy = &twin.Run
		e := twin.RequestCancel(twin.now, a.Caller, "superseded by a newer start")
		if e == nil {
			return nil
		}
		_, err = s.writeRun(ctx, tx, &twin.Run, e)
		return err
	})
	s.onCommit()
	switch {
	case errors.Is(err, errConflict), pg.Constraint(err) == "run_request_pkey":
		return StartResult{}, nil
	case err != nil:
		return StartResult{}, fmt.Errorf("supersede run %d: %w", twinID, err)
	case busy != nil:
		return StartResult{}, busy.AlreadyActive().RetryIn(supersedeRetry)
	case result.Run != nil:
		s.metrics.countEnd(ended)
		s.metrics.countStart(result.Run)
	}
	return result, nil
}

// errConflict rolls back a transaction that could not create a run after all.
var errConflict = errors.New("something else is in the way of the start")

// startIn creates the run that a describes in tx, in which its twin has ended.
func startIn(ctx context.Context, tx pgx.Tx, a run.Start) (StartResult, error) {
	created, err := insertRuns(ctx, tx, math.MaxInt32, []run.Start{a}) // it takes the place of another
	switch {
	case err != nil:
		return StartResult{}, err
	case created[0] == nil: // the request id became known, or the workspace is held
		return StartResult{}, errConflict
	}
	return StartResult{Run: &created[0].Run, Started: true}, nil
}

// checkReferences checks that the runs that a refers to exist in its workspace. If
// known is not nil, it keeps them there: the starts of a batch often refer to the same.
func (s *Store) checkReferences(ctx context.Context, a *run.Start, known map[int64]*row) error {
	if a.ParentRunID != nil {
		if _, err := s.reference(ctx, "parent_run_id", a.WorkspaceID, *a.ParentRunID, known); err != nil {
			return err
		}
	}
	if a.RetryOf == nil {
		return nil
	}
	original, err := s.reference(ctx, "retry_of", a.WorkspaceID, *a.RetryOf, known)
	if err != nil {
		return err
	}
	return a.Retry(original)
}

// replayOr returns the result of the earlier request with the id of a, or refusal if
// there is none. A run that a refers to may have been removed since that request.
func (s *Store) replayOr(ctx context.Context, a run.Start, refusal error) (StartResult, error) {
	if a.RequestID != "" {
		if r, err := s.replay(ctx, s.db, a); err != nil || r.Run != nil {
			return r, err
		}
	}
	return StartResult{}, refusal
}

// reference returns run id, which field of a request in the workspace names.
func (s *Store) reference(ctx context.Context, field string, workspaceID, id int64, known map[int64]*row) (*run.Run, error) {
	r, ok := known[id]
	if !ok {
		var err error
		if r, err = queryRun(ctx, s.db, getRunSQL, id); err != nil {
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
