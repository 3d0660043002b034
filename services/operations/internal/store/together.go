package store

import (
	"context"
	"errors"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// ErrAlone says that one of several calls was left out, and nothing was done for
// it: the statement that the others shared could not do it, because its run is in
// another state than usual, or somebody holds a row. To find out what to do takes
// a transaction of its own, for which the others would have to wait.
var ErrAlone = errors.New("the call has to be made by itself")

// StartTogether is [Store.StartAll] for those of asks that shared statements can
// start. The others fail with [ErrAlone], among them each that meets an active run
// of its identity or repeats a request id.
func (s *Store) StartTogether(ctx context.Context, asks []run.Start) ([]Started, []error) {
	started, refused := make([]Started, len(asks)), make([]error, len(asks))
	var places []int
	var sound []run.Start
	known := map[int64]*row{}
	for i := range asks {
		if err := s.checkReferences(ctx, &asks[i], known); err != nil {
			refused[i] = ErrAlone
			continue
		}
		places, sound = append(places, i), append(sound, asks[i])
	}
	for n, made := range s.starts.together(ctx, sound) {
		if pg.Constraint(made.err) == "run_request_pkey" {
			made.err = errBlocked // the same request was faster elsewhere
		}
		r, err := answered(made)
		if refused[places[n]] = err; err == nil {
			started[places[n]] = Started{Run: &r.Run, Started: true}
		}
	}
	return started, refused
}

// ProgressTogether is [Store.ProgressAll] for those of reports whose leases are
// held under their epochs. The others fail with [ErrAlone].
func (s *Store) ProgressTogether(ctx context.Context, service string, reports []Report) ([]Heartbeat, []error) {
	asks := make([]report, len(reports))
	for i, r := range reports {
		asks[i] = report{service: service, id: r.RunID, epoch: r.Epoch, counts: r.Counts}
	}
	beats, refused := make([]Heartbeat, len(asks)), make([]error, len(asks))
	for i, told := range s.reports.together(ctx, asks) {
		told.answer, refused[i] = answered(told)
		beats[i] = deref(told.answer)
	}
	return beats, refused
}

// CompleteTogether is [Store.CompleteAll] for those of endings whose runs are
// running under their epochs. The others fail with [ErrAlone].
func (s *Store) CompleteTogether(ctx context.Context, service string, endings []Ending) ([]*run.Run, []error) {
	asks := make([]completing, len(endings))
	for i, e := range endings {
		asks[i] = completing{service: service, id: e.RunID, Completion: e.Completion}
	}
	runs, refused := make([]*run.Run, len(asks)), make([]error, len(asks))
	for i, ended := range s.completes.together(ctx, asks) {
		if ended.answer, refused[i] = answered(ended); ended.answer != nil {
			runs[i] = &ended.answer.Run
		}
	}
	return runs, refused
}

// answered returns the answer of a shared statement, or why there is none.
func answered[A any](r result[*A]) (*A, error) {
	switch {
	case errors.Is(r.err, errBlocked):
		return nil, ErrAlone
	case r.err != nil:
		return nil, r.err
	case r.answer == nil:
		return nil, ErrAlone
	}
	return r.answer, nil
}
