package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

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
	created, err := insertRuns(ctx, tx, noLimit, []run.Start{a}) // it takes the place of another
	switch {
	case err != nil:
		return StartResult{}, err
	case created[0] == nil: // the request id became known, or the workspace is held
		return StartResult{}, errConflict
	}
	return StartResult{Run: &created[0].Run, Started: true}, nil
}
