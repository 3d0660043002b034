package api_test

import (
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// Reaper, completion, heartbeat and cancel run at once. Whichever is first, there is one
// completed event, no event is written twice, and no call succeeds that did nothing.
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
			require.Equal(t, succeeded, now.Outcome, "the call returned OK, so it stands")
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

// Many workers begin one queued run; one of them gets it.
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

// If a run cannot be moved, the pass returns an error, but still moves the others.
func TestOneRunThatCannotBeReapedDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stuck, other := w.at(t, "expired"), w.at(t, "expired")
	owner, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	_, err = owner.Exec(t.Context(), `
		create function refuse() returns trigger language plpgsql as $$ begin raise exception 'stuck'; end $$;
		create trigger refuse before update on operation_runs for each row when (old.id = `+strconv.FormatInt(stuck.Id, 10)+`) execute function refuse()`)
	require.NoError(t, err)

	err = w.store.Reap(t.Context(), 100, func(store.Reaped) {})
	require.ErrorContains(t, err, "reap run "+strconv.FormatInt(stuck.Id, 10))
	require.Equal(t, queued, w.get(t, other.Id).Status)
	require.Equal(t, running, w.get(t, stuck.Id).Status)
}

// imported inserts an imported run with a status of its history. It may be active, and
// has then been so for longer than any deadline.
func (w *world) imported(t *testing.T, status, inputs string) *operationsv1.Run {
	t.Helper()
	tenant := int64(5)
	var id int64
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), `
		insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash,
			created_at, queued_at, started_at, completed_at, lease_epoch, attempt, max_attempts, origin)
		select 1, $3, 'x', 'inventory_sync', $1, case when completed then 'succeeded' else 'pending' end, $2,
			now() - interval '3 days', now() - interval '2 days', case when begun then now() - interval '1 day' end,
			case when completed then now() end, begun::int, begun::int, 3, 'legacy'
		from (select $1 <> 'queued' as begun, $1 = 'completed' as completed) s returning id`,
		status, run.Identity(&tenant, "inventory_sync", inputs), tenant).Scan(&id))
	return w.get(t, id)
}

// Nobody works on an imported run, whatever its history says: no call moves it.
func TestAnImportedRunIsNeverMoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	completed := w.imported(t, "completed", "imported completed")
	requireRefused(t, w.say(t, "succeed", completed, 1), codes.FailedPrecondition, "RUN_COMPLETED")
	require.Empty(t, w.events(t, completed.Id))
	for _, status := range []string{"queued", "running"} {
		imported := w.imported(t, status, "imported "+status)
		for _, call := range []string{"begin", "begin as another", "progress", "release", "succeed", "fail"} {
			for epoch := range int64(3) {
				requireRefused(t, w.say(t, call, imported, epoch), codes.Aborted, "LEASE_LOST")
			}
		}
		require.NoError(t, w.say(t, "cancel", imported, 0))
		require.Empty(t, w.reap(t))
		dispatchable, err := w.runs.ListDispatchableRuns(t.Context(), &operationsv1.ListDispatchableRunsRequest{Types: []string{"inventory_sync"}})
		require.NoError(t, err)
		require.Empty(t, dispatchable.Runs)

		start := sync("imported " + status)
		start.ConflictPolicy = cancelExisting
		fresh := w.start(t, start)
		require.NotEqual(t, imported.Id, fresh.Id, "it is nobody's twin")
		w.cancel(t, fresh.Id)

		after := w.get(t, imported.Id)
		require.True(t, proto.Equal(imported, after), "%v became %v", imported, after)
		require.Zero(t, w.one(t, "select count(*) from run_lease"))
		require.Empty(t, w.events(t, imported.Id))
	}
}

// The clock of the database was set back by an hour: its rows are in the future. Times
// stay in order, or the constraints would refuse every further move.
func TestRunsMoveAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	w := setup(t)
	future := func(inputs string) *operationsv1.Run {
		r := w.start(t, sync(inputs))
		w.exec(t, "update operation_runs set created_at = created_at + interval '1 hour', queued_at = queued_at + interval '1 hour' where id = $1", r.Id)
		return w.get(t, r.Id)
	}
	r := future("completed")
	begun := w.begin(t, r.Id, "us")
	require.Equal(t, r.CreateTime.AsTime(), begun.StartTime.AsTime())
	ended := w.complete(t, begun, succeeded)
	require.Equal(t, begun.StartTime.AsTime(), ended.CompleteTime.AsTime())

	r = future("cancelled in the queue")
	require.Equal(t, r.CreateTime.AsTime(), w.cancel(t, r.Id).CompleteTime.AsTime())

	r = w.begin(t, future("taken over").Id, "us")
	w.expire(t, r.Id)
	taken := w.begin(t, r.Id, "them")
	require.Equal(t, []any{int64(2), r.StartTime.AsTime()}, []any{taken.LeaseEpoch, taken.StartTime.AsTime()})
	w.expire(t, r.Id)
	require.Len(t, w.reap(t), 1)
	require.Equal(t, queued, w.get(t, r.Id).Status)
}

// A completion that the shared statement does not do, since the run is not running,
// stores the same as one that it does.
func TestCountsOfACompletionUnderTheLockAreStored(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, state := range []string{"queued", "requeued", "running"} {
		r := w.at(t, state)
		resp, err := w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{
			RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: failed, SummaryCounts: map[string]int64{"total": 9, "failed": 2},
			FailureSummary: []*operationsv1.Failure{{Reason: operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY, Message: "Graph is away"}},
		})
		require.NoError(t, err, state)
		for _, ended := range []*operationsv1.Run{resp.Run, w.get(t, r.Id)} {
			require.Equal(t, map[string]int64{"total": 9, "failed": 2}, ended.SummaryCounts, state)
			require.Len(t, ended.FailureSummary, 1, state)
			require.Equal(t, "Graph is away", ended.FailureSummary[0].Message, state)
		}
	}
}
