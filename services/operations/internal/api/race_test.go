package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// The reaper, the completer, the heartbeat and the canceller at once: whatever
// wins, there is one terminal event, nothing is said twice, and nobody is told
// OK for what did not happen.
func TestMovesRacedAgainstEachOther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 60 {
		r := w.at(t, "expired")
		var completeErr, beatErr error
		var group errgroup.Group
		group.Go(func() error { return w.store.Reap(t.Context(), 10, func(store.Reaped) {}) })
		group.Go(func() error {
			_, completeErr = w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: 1, Outcome: succeeded})
			return nil
		})
		group.Go(func() error {
			_, beatErr = w.runs.ReportProgress(t.Context(), &operationsv1.ReportProgressRequest{RunId: r.Id, LeaseEpoch: 1})
			return nil
		})
		group.Go(func() error {
			_, err := w.runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: r.Id})
			return err
		})
		require.NoError(t, group.Wait())

		now := w.get(t, r.Id)
		terminal := 0
		for _, kind := range w.events(t, r.Id) {
			if kind == "completed" {
				terminal++
			}
		}
		require.LessOrEqual(t, terminal, 1)
		require.Equal(t, now.Status == completed, terminal == 1)
		if completeErr == nil {
			require.Equal(t, succeeded, now.Outcome, "told OK, so it stands")
		} else {
			require.Contains(t, []string{"LEASE_LOST", "RUN_COMPLETED"}, errs.Reason(completeErr))
		}
		if beatErr != nil {
			require.Contains(t, []string{"LEASE_LOST", "RUN_COMPLETED"}, errs.Reason(beatErr))
		}
		if now.Status != completed {
			w.exec(t, "update run_lease set expires_at = now() + interval '1 hour' where run_id = $1", r.Id)
		}
	}
}

// Many workers begin one queued run: one gets it.
func TestConcurrentBeginsAreOneLease(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "queued")
	const workers = 30
	refused := make([]error, workers)
	var group errgroup.Group
	for i := range workers {
		group.Go(func() error {
			_, refused[i] = w.runs.BeginRun(t.Context(), &operationsv1.BeginRunRequest{RunId: r.Id, Holder: "w" + string(rune('a'+i))})
			return nil
		})
	}
	require.NoError(t, group.Wait())
	won := 0
	for _, err := range refused {
		if err == nil {
			won++
			continue
		}
		require.Equal(t, "LEASE_HELD", errs.Reason(err), "%v", err)
	}
	require.Equal(t, 1, won)
	require.EqualValues(t, 1, w.get(t, r.Id).LeaseEpoch)
}
