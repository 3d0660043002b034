package store

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// startColumns are what insertRunsSQL gets about each start. Empty texts stand for
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
var insertRunsSQL = build(func(b *builder[insertInput]) string {
	a := rowsOf(b, startColumns, func(in insertInput) []run.Start { return in.starts })
	k := rowsOf(b, labelColumns, func(in insertInput) []label { return in.labels })
	maxQueued := valueOf(b, bigint, func(in insertInput) int64 { return int64(in.maxQueued) })
	return `-- store.insertRuns
	with a as (
		select * from ` + a.withOrdinal("a") + `
	), ` + roomSQL(maxQueued) + `, n as (
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
		from r join ` + k.as("k") + ` on k.ordinal = r.ordinal
	)
	select r.ordinal,` + basicColumns + ` from r left join lateral (` + newLeaseSQL + `) l on r.holder <> ''`
})

// insertInput is the input of insertRunsSQL.
type insertInput struct {
	starts    []run.Start
	labels    []label // of the runs of starts
	maxQueued int     // how many runs a workspace may have queued
}

// newLeaseSQL is the lease that the statement gives to run r. It is selected from r,
// since joining what the statement inserts would compare every lease with every run.
const newLeaseSQL = `select r.holder, r.expires_at, '{}'::jsonb as summary_counts`

// insertRuns returns the run that each start created, or nil.
func insertRuns(ctx context.Context, q querier, maxQueued int, starts []run.Start) ([]*row, error) {
	created, err := queryByOrdinal(ctx, q, len(starts), &insertRunsSQL, insertInput{starts, labelsOf(starts), maxQueued})
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
	valid, indices := s.sift(ctx, starts, func(i int, err error) {
		results[i], refusals[i] = s.replayOr(ctx, starts[i], err)
	})
	created := s.startGroup.DoAll(ctx, valid)
	commit.Settle(len(valid), func(n int) bool { return created[n].Value == nil }, func(n int) {
		i := indices[n]
		results[i], refusals[i] = s.finishStart(ctx, valid[n], created[n].Value, created[n].Err)
	})
	return results, refusals
}

// sift returns the starts whose references exist, and the index in starts of each. It
// calls refuse for each of the others.
func (s *Store) sift(ctx context.Context, starts []run.Start, refuse func(i int, err error)) (valid []run.Start, indices []int) {
	known := map[int64]*row{}
	for i := range starts {
		if err := s.checkReferences(ctx, &starts[i], known); err != nil {
			refuse(i, err)
			continue
		}
		valid, indices = append(valid, starts[i]), append(indices, i)
	}
	return valid, indices
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
