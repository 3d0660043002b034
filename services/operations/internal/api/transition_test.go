package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"
)

// Every cell of the transition table, as a client sees it.
func TestTransitions(t *testing.T) {
	t.Parallel()
	const (
		lost     = "LEASE_LOST"
		held     = "LEASE_HELD"
		ended    = "RUN_COMPLETED"
		notBegun = "RUN_NOT_RUNNING"
	)
	type after struct {
		status  operationsv1.RunStatus
		outcome operationsv1.RunOutcome
		epoch   int64
		attempt int32
	}
	isQueued := after{queued, pending, 0, 0}
	isRunning := after{running, pending, 1, 1}
	tests := []struct {
		from, call string
		epoch      int64 // that the worker names
		refused    string
		want       after
	}{
		{"queued", "begin", 0, "", isRunning},
		{"released", "begin", 0, "", after{running, pending, 3, 1}},
		{"requeued", "begin", 0, "", after{running, pending, 3, 2}},
		{"running", "begin", 0, "", isRunning},
		{"running", "begin as another", 0, held, isRunning},
		{"expired", "begin", 0, "", isRunning},
		{"expired", "begin as another", 0, "", after{running, pending, 2, 2}},
		{"expired in its last attempt", "begin as another", 0, ended, after{completed, failed, 1, 3}},
		{"told to cancel", "begin as another", 0, held, isRunning},
		{"told to cancel, expired", "begin as another", 0, ended, after{completed, cancelled, 1, 1}},
		{"succeeded", "begin", 0, ended, after{completed, succeeded, 1, 1}},
		{"cancelled in the queue", "begin", 0, ended, after{completed, cancelled, 0, 0}},

		{"queued", "progress", 0, lost, isQueued},
		{"running", "progress", 1, "", isRunning},
		{"running", "progress", 0, lost, isRunning},
		{"running", "progress", 2, lost, isRunning},
		{"expired", "progress", 1, "", isRunning},
		{"told to cancel", "progress", 1, "", isRunning},
		{"requeued", "progress", 1, lost, after{queued, pending, 2, 1}},
		{"taken over", "progress", 1, lost, after{running, pending, 2, 2}},
		{"succeeded", "progress", 1, ended, after{completed, succeeded, 1, 1}},
		{"succeeded", "progress", 0, ended, after{completed, succeeded, 1, 1}},

		{"queued", "release", 0, lost, isQueued},
		{"running", "release", 1, "", after{queued, pending, 2, 0}},
		{"running", "release", 0, lost, isRunning},
		{"expired", "release", 1, "", after{queued, pending, 2, 0}},
		{"told to cancel", "release", 1, "", after{completed, cancelled, 1, 1}},
		{"released", "release", 1, "", after{queued, pending, 2, 0}},
		{"released", "release", 2, lost, after{queued, pending, 2, 0}},
		{"requeued", "release", 1, lost, after{queued, pending, 2, 1}},
		{"taken over", "release", 1, lost, after{running, pending, 2, 2}},
		{"succeeded", "release", 1, ended, after{completed, succeeded, 1, 1}},

		{"queued", "succeed", 0, notBegun, isQueued},
		{"queued", "fail", 0, "", after{completed, failed, 0, 0}},
		{"queued", "fail", 1, lost, isQueued},
		{"requeued", "fail", 1, lost, after{queued, pending, 2, 1}},
		{"requeued", "fail", 2, "", after{completed, failed, 2, 1}},
		{"running", "succeed", 1, "", after{completed, succeeded, 1, 1}},
		{"running", "succeed", 0, lost, isRunning},
		{"expired", "succeed", 1, "", after{completed, succeeded, 1, 1}},
		{"told to cancel", "succeed", 1, "", after{completed, succeeded, 1, 1}},
		{"taken over", "succeed", 1, lost, after{running, pending, 2, 2}},
		{"succeeded", "succeed", 1, "", after{completed, succeeded, 1, 1}},
		{"succeeded", "fail", 1, ended, after{completed, succeeded, 1, 1}},
		{"cancelled in the queue", "fail", 0, ended, after{completed, cancelled, 0, 0}},

		{"queued", "cancel", 0, "", after{completed, cancelled, 0, 0}},
		{"released", "cancel", 0, "", after{completed, cancelled, 2, 0}},
		{"running", "cancel", 0, "", isRunning},
		{"told to cancel", "cancel", 0, "", isRunning},
		{"succeeded", "cancel", 0, "", after{completed, succeeded, 1, 1}},

		{"queued", "reap", 0, "", isQueued},
		{"overdue in the queue", "reap", 0, "", after{completed, failed, 0, 0}},
		{"running", "reap", 0, "", isRunning},
		{"expired", "reap", 0, "", after{queued, pending, 2, 1}},
		{"expired in its last attempt", "reap", 0, "", after{completed, failed, 1, 3}},
		{"told to cancel", "reap", 0, "", isRunning},
		{"told to cancel, expired", "reap", 0, "", after{completed, cancelled, 1, 1}},
		{"told to cancel long ago", "reap", 0, "", after{completed, cancelled, 1, 1}},
		{"succeeded", "reap", 0, "", after{completed, succeeded, 1, 1}},
	}
	reasons := map[string]codes.Code{
		lost: codes.Aborted, held: codes.Aborted, ended: codes.FailedPrecondition, notBegun: codes.FailedPrecondition,
	}
	w := setup(t)
	for _, tt := range tests {
		name := tt.from + "/" + tt.call
		r := w.at(t, tt.from)
		before := w.events(t, r.Id)
		err := w.say(t, tt.call, r, tt.epoch)
		if tt.refused == "" {
			require.NoError(t, err, name)
		} else {
			requireRefused(t, err, reasons[tt.refused], tt.refused)
		}
		now := w.get(t, r.Id)
		require.Equal(t, tt.want, after{now.Status, now.Outcome, now.LeaseEpoch, now.Attempt}, name)
		requireEventIffMoved(t, w, name, r, now, before)
		// The reaper called by another row of the table must not find this run overdue.
		w.exec(t, "update run_lease set expires_at = now() + interval '1 hour' where run_id = $1", r.Id)
		w.exec(t, "update operation_runs set cancel_requested_at = now() where id = $1 and status = 'running' and cancel_requested_at is not null", r.Id)
	}
}

// requireEventIffMoved requires one new event if the run changed its state, else none.
func requireEventIffMoved(t *testing.T, w *world, name string, was, is *operationsv1.Run, before []string) {
	t.Helper()
	moved := was.Status != is.Status || was.Outcome != is.Outcome || was.LeaseEpoch != is.LeaseEpoch ||
		(was.CancelRequestTime == nil) != (is.CancelRequestTime == nil)
	events := w.events(t, is.Id)
	added := len(events) - len(before)
	switch {
	case moved:
		require.Equal(t, 1, added, "%s: %v", name, events)
	case added == 1:
		require.Equal(t, "late_completion_rejected", events[len(events)-1], name)
	default:
		require.Zero(t, added, "%s: %v", name, events)
	}
}

func TestHeartbeatTellsOfCancelAndExtendsTheLease(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "running")
	beat := func() *operationsv1.ReportProgressResponse {
		resp, err := w.runs.ReportProgress(t.Context(), &operationsv1.ReportProgressRequest{
			RunId: r.Id, LeaseEpoch: 1, SummaryCounts: map[string]int64{"processed": 3},
		})
		require.NoError(t, err)
		return resp
	}
	first := beat()
	require.False(t, first.CancelRequested)
	require.True(t, first.LeaseExpireTime.AsTime().After(r.LeaseExpireTime.AsTime()))
	w.cancel(t, r.Id)
	second := beat()
	require.True(t, second.CancelRequested)
	require.Equal(t, "changed my mind", second.CancelReason)

	now := w.get(t, r.Id)
	require.Equal(t, map[string]int64{"processed": 3}, now.SummaryCounts)
	ended := w.complete(t, r, cancelled)
	require.Equal(t, map[string]int64{"processed": 3}, ended.SummaryCounts, "the counters reported are kept when none are final")
	require.Equal(t, []string{"created", "begun", "cancel_requested", "completed"}, w.events(t, r.Id))
}

func TestCancelIsRecordedOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "running")
	first := w.cancel(t, r.Id)
	again, err := w.runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: r.Id, Reason: "another reason"})
	require.NoError(t, err)
	require.Equal(t, first.CancelRequestTime.AsTime(), again.Run.CancelRequestTime.AsTime())
	require.Equal(t, "changed my mind", again.Run.CancelReason)
}

func TestLateCompletionIsKeptOncePerEpoch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "running")
	w.complete(t, r, succeeded)
	late := &operationsv1.CompleteRunRequest{
		RunId: r.Id, LeaseEpoch: 1, Outcome: partially, SummaryCounts: map[string]int64{"failed": 2},
		FailureSummary: []*operationsv1.Failure{{Reason: operationsv1.FailureReason_FAILURE_REASON_THROTTLED, Message: "too late"}},
	}
	for range 3 {
		_, err := w.runs.CompleteRun(t.Context(), late)
		requireRefused(t, err, codes.FailedPrecondition, "RUN_COMPLETED")
	}
	require.Equal(t, []string{"created", "begun", "completed", "late_completion_rejected"}, w.events(t, r.Id))
	resp, err := w.reader.ListRunEvents(t.Context(), &operationsv1.ListRunEventsRequest{RunId: r.Id})
	require.NoError(t, err)
	kept := resp.Events[3].Detail.AsMap()
	require.Equal(t, "partially_succeeded", kept["outcome"])
	require.Equal(t, map[string]any{"failed": 2.0}, kept["summary_counts"])
}

// A worker that lost its lease may have done the work. Its completion is kept as an event,
// and later events of the run are numbered after it.
func TestACompletionUnderALostLeaseIsKeptOncePerEpoch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "requeued")
	late := &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: 1, Outcome: succeeded, SummaryCounts: map[string]int64{"processed": 2}}
	refused := func(epoch int64, code codes.Code, reason string) {
		late.LeaseEpoch = epoch
		_, err := w.runs.CompleteRun(t.Context(), late)
		requireRefused(t, err, code, reason)
	}
	for range 3 {
		refused(1, codes.Aborted, "LEASE_LOST")
	}
	refused(r.LeaseEpoch+1, codes.Aborted, "LEASE_LOST") // an epoch that nobody ever had
	r = w.begin(t, r.Id, "them")
	refused(1, codes.Aborted, "LEASE_LOST")
	w.complete(t, r, failed)
	refused(1, codes.FailedPrecondition, "RUN_COMPLETED")
	refused(r.LeaseEpoch, codes.FailedPrecondition, "RUN_COMPLETED")
	require.Equal(t, []string{"created", "begun", "requeued", "late_completion_rejected", "begun", "completed", "late_completion_rejected"},
		w.events(t, r.Id))
	resp, err := w.reader.ListRunEvents(t.Context(), &operationsv1.ListRunEventsRequest{RunId: r.Id})
	require.NoError(t, err)
	kept := resp.Events[3]
	require.Equal(t, map[string]any{"processed": 2.0}, kept.Detail.AsMap()["summary_counts"])
	require.Equal(t, []any{int64(1), queued}, []any{kept.LeaseEpoch, kept.Status})
	require.Empty(t, w.get(t, r.Id).SummaryCounts)
}

// The run store in memory that other services test with keeps the same rules as
// this one.
func TestOperationsAndItsFakeKeepTheSameRules(t *testing.T) {
	t.Parallel()
	worktest.Exercise(t, func(t *testing.T) worktest.Subject {
		w := setup(t)
		return worktest.Subject{
			Runs: w.runs, Reader: w.reader, Expire: w.expire,
			Reap: func(t *testing.T) { w.reap(t) },
		}
	})
}
