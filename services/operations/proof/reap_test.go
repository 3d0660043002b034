package proof

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// A completion that comes after the reaper ended the run is refused and changes nothing,
// but its content is kept once, as an event.
func TestALateCompletionIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), `{"inventory_sync": {"lease": "300ms", "max_attempts": 1}}`)
	address := rpctest.FreeAddress(t)
	s.serve(t, address, s.db.URL)
	w := s.caller(t, address)
	r := w.start(t, syncOf("x", "", "worker"))
	w.until(t, r.Id, completed)
	reaped := w.get(t, r.Id)
	require.Equal(t, failed, reaped.Outcome)
	require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_LEASE_EXPIRED, reaped.FailureSummary[0].Reason)
	for range 3 {
		_, err := w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{
			RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: succeeded, SummaryCounts: map[string]int64{"processed": 42},
		})
		require.Equal(t, "FailedPrecondition RUN_COMPLETED", name(errs.Code(err), " ", errs.Reason(err)))
	}
	require.Equal(t, reaped.String(), w.get(t, r.Id).String())
	require.Equal(t, []string{"created", "completed", "late_completion_rejected"}, w.events(t, r.Id))
	resp, err := w.reader.ListRunEvents(t.Context(), &operationsv1.ListRunEventsRequest{RunId: r.Id})
	require.NoError(t, err)
	late := resp.Events[2].Detail.AsMap()
	require.Equal(t, "succeeded", late["outcome"])
	require.Equal(t, map[string]any{"processed": 42.0}, late["summary_counts"])
	audit(t, s.db.Pool)
}

// The reaper and completions race for runs whose leases have just expired. One of them
// moves each run. If it is the reaper, the completion is refused.
func TestReaperRacesCompleter(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.Server(t), "")
	s.reapEvery = time.Hour // the test reaps
	address := rpctest.FreeAddress(t)
	s.serve(t, address, s.db.URL)
	w, st := s.caller(t, address), store.New(s.db.Pool, run.DefaultTypes())
	won := map[string]int{}
	for n := 0; n < scale(10, 100) || n < 500 && (won["completer"] == 0 || won["reaper"] == 0); n++ {
		race(t, s, w, st, won)
	}
	t.Logf("won by the completer %d, by the reaper %d", won["completer"], won["reaper"])
	require.Positive(t, won["completer"], "the completer never won: nothing was proven")
	require.Positive(t, won["reaper"], "the reaper never won: nothing was proven")
	audit(t, s.db.Pool)
}

// race lets the leases of ten runs expire, half of them in their last attempt, and reaps and
// completes them at the same time.
func race(t *testing.T, s *site, w *caller, st *store.Store, won map[string]int) {
	t.Helper()
	var expired []int64
	for i := range 10 {
		r := w.start(t, syncOf(time.Now().String(), "", "worker"))
		expired = append(expired, r.Id)
		if i%2 == 0 {
			s.exec(t, "update operation_runs set attempt = max_attempts where id = $1", r.Id)
		}
	}
	s.exec(t, "update run_lease set expires_at = now() - interval '1 second' where run_id = any($1)", expired)
	told := make([]error, len(expired))
	var group errgroup.Group
	group.Go(func() error { return st.Reap(t.Context(), 1000, func(store.Reaped) {}) })
	for i, id := range expired {
		group.Go(func() error {
			_, told[i] = w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: id, LeaseEpoch: 1, Outcome: succeeded})
			return nil
		})
	}
	require.NoError(t, group.Wait())
	for i, id := range expired {
		now := w.get(t, id)
		stands := name(now.Status, " ", now.Outcome, " ", now.LeaseEpoch)
		switch reason := errs.Reason(told[i]); reason {
		case "":
			require.NoError(t, told[i])
			require.Equal(t, name(completed, " ", succeeded, " ", 1), stands, "the call returned OK, so it stands")
			won["completer"]++
		case run.ReasonCompleted:
			require.Equal(t, name(completed, " ", failed, " ", 1), stands)
			require.Equal(t, []string{"created", "completed", "late_completion_rejected"}, w.events(t, id))
			won["reaper"]++
		case run.ReasonLeaseLost:
			require.Equal(t, name(queued, " ", pending, " ", 2), stands)
			won["reaper"]++
		default:
			t.Fatalf("run %d: %v", id, told[i])
		}
	}
}
