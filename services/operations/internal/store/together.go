package store

import (
	"context"
	"errors"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/commit"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// ErrAlone is the error of a call that was left out of a shared statement. Nothing was
// done for it: its run is not in the usual state, or one of its rows is locked. The
// caller must make the call by itself, since what to do takes a transaction of its own,
// for which the other calls would have to wait.
var ErrAlone = errors.New("the call has to be made by itself")

// StartTogether is [Store.StartBatch] for those starts that shared statements can do.
// The others fail with [ErrAlone], for example one that meets an active run of its
// identity or repeats a request id.
func (s *Store) StartTogether(ctx context.Context, starts []run.Start) ([]StartResult, []error) {
	results, refusals := make([]StartResult, len(starts)), make([]error, len(starts))
	valid, indices := s.sift(ctx, starts, func(i int, _ error) { refusals[i] = ErrAlone })
	for n, created := range s.startGroup.DoTogether(ctx, valid) {
		if pg.Constraint(created.Err) == "run_request_pkey" { // another statement has just used the request id
			created.Err = ErrAlone
		}
		i := indices[n]
		r, err := shared(created)
		if refusals[i] = err; err == nil {
			results[i] = StartResult{Run: &r.Run, Started: true}
		}
	}
	return results, refusals
}

// ProgressTogether is [Store.ProgressBatch] for those reports whose leases are held
// under their epochs. The others fail with [ErrAlone].
func (s *Store) ProgressTogether(ctx context.Context, service string, reports []Report) ([]Heartbeat, []error) {
	beats, refusals := make([]Heartbeat, len(reports)), make([]error, len(reports))
	for i, result := range s.progressGroup.DoTogether(ctx, progressCalls(service, reports)) {
		beat, err := shared(result)
		beats[i], refusals[i] = deref(beat), err
	}
	return beats, refusals
}

// CompleteTogether is [Store.CompleteBatch] for those completions whose runs are
// running under their epochs. The others fail with [ErrAlone].
func (s *Store) CompleteTogether(ctx context.Context, service string, completions []Completion) ([]*run.Run, []error) {
	runs, refusals := make([]*run.Run, len(completions)), make([]error, len(completions))
	for i, result := range s.completeGroup.DoTogether(ctx, completeCalls(service, completions)) {
		ended, err := shared(result)
		if refusals[i] = err; err == nil {
			runs[i] = &ended.Run
		}
	}
	return runs, refusals
}

// shared returns the result of a shared statement. Without one, the error is
// [ErrAlone], unless the statement failed.
func shared[R any](r commit.Result[*R]) (*R, error) {
	switch {
	case errors.Is(r.Err, commit.ErrLocked):
		return nil, ErrAlone
	case r.Err != nil:
		return nil, r.Err
	case r.Value == nil:
		return nil, ErrAlone
	}
	return r.Value, nil
}
