package api_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
)

func (w *world) summarize(t *testing.T, req *operationsv1.SummarizeRunsRequest) *operationsv1.SummarizeRunsResponse {
	t.Helper()
	resp, err := operationsv1.NewRunReaderServiceClient(w.svc.Dial(t, "operator")).SummarizeRuns(t.Context(), req)
	require.NoError(t, err)
	return resp
}

func (w *world) fold(t *testing.T) int64 {
	t.Helper()
	folded, err := w.statistics.Fold(t.Context())
	require.NoError(t, err)
	return folded
}

// ended inserts n completed runs of workspace 1. Run i completed i minutes before until and
// took i milliseconds. They share so many identities; each outcome has other ones.
func (w *world) ended(t *testing.T, typ, outcome string, n int, until time.Time, identities int) {
	t.Helper()
	w.exec(t, `with r as (
			insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, failure_summary,
				created_at, updated_at, queued_at, started_at, completed_at, attempt, lease_epoch, max_attempts, event_count)
			select 1, 'x', $1, 'completed', $2, sha256(convert_to($1 || $2 || (i % $5), 'UTF8')),
				case when $2 = 'failed' then '[{"code":"","reason_code":"timeout","message":"m"},{"code":"","reason_code":"timeout","message":"again"}]'::jsonb else '[]' end,
				e.at - make_interval(secs => i / 1000.0), e.at, e.at - make_interval(secs => i / 1000.0), e.at - make_interval(secs => i / 1000.0), e.at, 1, 1, 3, 2
			from generate_series($3::int, 1, -1) i, lateral (select $4::timestamptz - make_interval(mins => i) as at) e
			returning id, status, outcome)
		insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select id, s, case s when 1 then 'created' else 'completed' end, 'inventory', status, outcome, 1, 1 from r, generate_series(1, 2) s`,
		typ, outcome, n, until, identities)
}

func TestASummaryIsTheSameBeforeAndAfterItsFold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	noon := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	w.ended(t, "inventory_sync", "succeeded", 90, noon, 90)
	w.ended(t, "inventory_sync", "failed", 30, noon.Add(-time.Hour), 30)
	w.ended(t, "entra_group_sync", "cancelled", 1, noon, 1)
	w.at(t, "queued")
	w.at(t, "running")
	req := &operationsv1.SummarizeRunsRequest{
		WorkspaceId: 1, StartTime: timestamppb.New(noon.Add(-3*time.Hour + time.Minute)), EndTime: timestamppb.New(noon),
	}
	before := w.summarize(t, req)
	require.EqualValues(t, 121, w.fold(t))
	after := w.summarize(t, req)
	require.Equal(t, fmt.Sprint(before), fmt.Sprint(after))
	require.Zero(t, w.fold(t), "each run is folded once")

	count := func(hour int, typ string, o operationsv1.RunOutcome, n int64) string {
		return fmt.Sprint(noon.Truncate(24*time.Hour).Add(time.Duration(hour)*time.Hour), typ, o, n)
	}
	var counts []string
	for _, c := range after.Counts {
		counts = append(counts, fmt.Sprint(c.BucketStartTime.AsTime(), c.Type, c.Outcome, c.Count))
	}
	require.Equal(t, []string{
		count(10, "inventory_sync", failed, 30),
		count(10, "inventory_sync", succeeded, 30),
		count(11, "entra_group_sync", cancelled, 1),
		count(11, "inventory_sync", succeeded, 60),
	}, counts)
	require.Len(t, after.Durations, 2)
	syncs := after.Durations[1]
	require.EqualValues(t, 120, syncs.Count)
	require.InEpsilon(t, 30*time.Millisecond, syncs.P50.AsDuration(), 0.13, "of 1 to 30 twice and 31 to 90 once: 30, in whole ranks")
	require.InEpsilon(t, 84*time.Millisecond, syncs.P95.AsDuration(), 0.1)
	require.Len(t, after.TopReasons, 1)
	require.EqualValues(t, 30, after.TopReasons[0].Count, "a run is counted once per reason")
	require.Len(t, after.Active, 2)
	require.NotNil(t, after.OldestActiveCreateTime)

	req.Types = []string{"entra_group_sync"}
	only := w.summarize(t, req)
	require.Len(t, only.Counts, 1)
	require.Empty(t, only.TopReasons)
	require.Empty(t, only.Active)
	require.Nil(t, only.OldestActiveCreateTime)

	req.WorkspaceId, req.Types = 2, nil
	require.Empty(t, w.summarize(t, req).Counts, "another workspace has none of these")
}

func TestDaysAreSumsOfHours(t *testing.T) {
	t.Parallel()
	w := setup(t)
	midnight := time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)
	w.ended(t, "inventory_sync", "succeeded", 3000, midnight.Add(30*time.Minute), 10)
	w.fold(t)
	w.ended(t, "inventory_sync", "succeeded", 10, midnight.Add(2*time.Hour), 10)
	for _, folded := range []bool{false, true} {
		if folded {
			w.fold(t)
		}
		days := w.summarize(t, &operationsv1.SummarizeRunsRequest{
			WorkspaceId: 1, EndTime: timestamppb.New(midnight.Add(25 * time.Hour)), Bucket: operationsv1.SummaryBucket_SUMMARY_BUCKET_DAY,
		})
		var n []int64
		for _, c := range days.Counts {
			n = append(n, c.Count)
		}
		require.Equal(t, []int64{90, 1440, 1440, 30 + 10}, n, "what ended at midnight is of the day that begins")
	}
}

func TestBadSummariesAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, reader := w.as(t, actor.Readonly)
	at := func(s string) *timestamppb.Timestamp {
		v, err := time.Parse(time.RFC3339, s)
		require.NoError(t, err)
		return timestamppb.New(v)
	}
	tests := map[string]struct {
		req  *operationsv1.SummarizeRunsRequest
		code codes.Code
	}{
		"the end before the start": {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, StartTime: at("2026-03-05T10:00:00Z"), EndTime: at("2026-03-05T09:59:59Z")}, codes.InvalidArgument},
		"a start in the future":    {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, StartTime: at("9999-03-05T10:00:00Z")}, codes.InvalidArgument},
		"1001 hours":               {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, StartTime: at("2026-01-01T00:00:00Z"), EndTime: at("2026-02-11T16:00:01Z")}, codes.InvalidArgument},
		"1000 hours":               {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, StartTime: at("2026-01-01T00:59:00Z"), EndTime: at("2026-02-11T16:00:00Z")}, codes.OK},
		"all of time":              {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, StartTime: at("0001-01-01T00:00:00Z"), EndTime: at("9999-12-31T23:59:59Z"), Bucket: operationsv1.SummaryBucket_SUMMARY_BUCKET_DAY}, codes.InvalidArgument},
		"the last two days":        {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, EndTime: at("9999-12-31T23:59:59Z")}, codes.OK},
		"the first two days":       {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, EndTime: at("0001-01-01T00:00:00Z")}, codes.OK},
		"no time at all":           {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, EndTime: &timestamppb.Timestamp{Seconds: math.MaxInt64}}, codes.InvalidArgument},
		"an unknown type":          {&operationsv1.SummarizeRunsRequest{WorkspaceId: 1, Types: []string{"x"}}, codes.InvalidArgument},
		"no workspace":             {&operationsv1.SummarizeRunsRequest{}, codes.InvalidArgument},
		"a foreign workspace":      {&operationsv1.SummarizeRunsRequest{WorkspaceId: 2}, codes.NotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := reader.SummarizeRuns(t.Context(), tt.req)
			require.Equal(t, tt.code, errs.Code(err), "%v", err)
		})
	}
}

func TestActiveRunsAreCountedToALimit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.store.LimitQueue(20_000)
	w.exec(t, `insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, created_at, max_attempts)
		select 1, 'x', 'inventory_sync', 'queued', 'pending', sha256(i::text::bytea), now(), now() - make_interval(secs => i), 3 from generate_series(1, 10000) i`)
	full := w.summarize(t, &operationsv1.SummarizeRunsRequest{WorkspaceId: 1})
	require.EqualValues(t, 10_000, full.Active[0].Count)
	require.False(t, full.ActiveTruncated)
	w.at(t, "queued")
	more := w.summarize(t, &operationsv1.SummarizeRunsRequest{WorkspaceId: 1})
	require.EqualValues(t, 10_000, more.Active[0].Count)
	require.True(t, more.ActiveTruncated)
	require.InDelta(t, 10_000, time.Since(more.OldestActiveCreateTime.AsTime()).Seconds(), 60)
}

// A transaction that commits late is folded late, whatever the times of its runs are.
func TestALateCommitIsFoldedOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "running")
	tx, err := w.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }() // a pool does not close on one left open
	endBySQL(t, tx, r.Id)
	for range 3 {
		w.complete(t, w.at(t, "running"), succeeded)
		require.EqualValues(t, 1, w.fold(t))
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, w.recount(t), w.counted(t), "live")
	require.EqualValues(t, 1, w.fold(t))
	require.Zero(t, w.fold(t))
	require.Equal(t, w.recount(t), w.counted(t))
}

func TestEveryWayToEndARunIsCounted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, state := range []string{
		"cancelled in the queue", "overdue in the queue", "expired in its last attempt", "told to cancel, expired", "told to cancel long ago", "succeeded",
	} {
		w.at(t, state)
	}
	w.reap(t)
	require.Zero(t, w.one(t, "select count(*) from operation_runs where status <> 'completed'"))
	require.Equal(t, w.recount(t), w.counted(t))
	require.EqualValues(t, 6, w.fold(t))
	require.Equal(t, w.recount(t), w.counted(t))
}

func endBySQL(t *testing.T, tx pgx.Tx, id int64) {
	t.Helper()
	for _, sql := range []string{
		"delete from run_lease where run_id = $1",
		"update operation_runs set status = 'completed', outcome = 'failed', completed_at = clock_timestamp() where id = $1",
		"insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt) values ($1, 9, 'completed', 'x', 'completed', 'failed', 1, 1)",
	} {
		_, err := tx.Exec(t.Context(), sql, id)
		require.NoError(t, err)
	}
}

// Runs end while two replicas fold and their connections are killed. In the end every run
// is in the sums once, and at each moment the summary equals a recount.
func TestStatisticsEqualARecountWhateverDies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	second := statistics.New(w.db.Pool)
	folding, stop := context.WithCancel(t.Context())
	var loops, writers errgroup.Group
	for _, s := range []*statistics.Store{w.statistics, second} {
		loops.Go(func() error {
			for folding.Err() == nil {
				short, cancel := context.WithTimeout(folding, time.Duration(1+rand.IntN(100))*time.Millisecond) // often too short
				_, _ = s.Fold(short)
				cancel()
			}
			return nil
		})
	}
	loops.Go(func() error {
		for folding.Err() == nil {
			_, _ = w.db.Pool.Exec(folding, "select pg_terminate_backend(pid) from pg_stat_activity where query like '-- statistics.foldRuns%' and pid <> pg_backend_pid() and datname = current_database()")
		}
		return nil
	})
	outcomes := []operationsv1.RunOutcome{succeeded, partially, failed, cancelled}
	for i := range 4 {
		writers.Go(func() error {
			for j := range 40 {
				w.endOne(t, fmt.Sprint(i, "-", j), outcomes[(i+j)%4])
			}
			return nil
		})
	}
	require.NoError(t, writers.Wait())
	require.Equal(t, w.recount(t), w.counted(t), "while folds go on")
	stop()
	require.NoError(t, loops.Wait())
	w.db.Pool.Reset() // some of its connections were killed and do not know it yet

	// A fold that was stopped may still hold the lock for a moment.
	require.Eventually(t, func() bool {
		w.fold(t)
		return w.one(t, "select coalesce(sum(runs), 0)::bigint from run_stat where measure = 'outcome' and grain = 'day'") == 160
	}, 30*time.Second, 10*time.Millisecond)
	require.Zero(t, w.fold(t))
	require.Equal(t, w.recount(t), w.counted(t))
}

// endOne starts and completes a run; it repeats calls whose connection was killed.
func (w *world) endOne(t *testing.T, inputs string, outcome operationsv1.RunOutcome) {
	req := &operationsv1.CompleteRunRequest{LeaseEpoch: 1, Outcome: outcome}
	if outcome == failed {
		reason := []operationsv1.FailureReason{operationsv1.FailureReason_FAILURE_REASON_TIMEOUT, operationsv1.FailureReason_FAILURE_REASON_THROTTLED}[len(inputs)%2]
		req.FailureSummary = []*operationsv1.Failure{{Reason: reason, Message: "m"}}
	}
	start := sync(inputs)
	start.Holder, start.RequestId = "us", inputs
	err := again(func() error {
		resp, err := w.runs.StartRun(t.Context(), start)
		req.RunId = resp.GetRun().GetId()
		return err
	})
	if err == nil {
		err = again(func() error {
			_, err := w.runs.CompleteRun(t.Context(), req)
			return err
		})
	}
	if err != nil {
		t.Error(err)
	}
}

// again repeats a call until the service is available.
func again(call func() error) error {
	err := call()
	for range 50 {
		if errs.Code(err) != codes.Unavailable {
			break
		}
		err = call()
	}
	return err
}

// counted returns the summary of the last days, one number a line.
func (w *world) counted(t *testing.T) []string {
	t.Helper()
	s := w.summarize(t, &operationsv1.SummarizeRunsRequest{WorkspaceId: 1})
	var lines []string
	for _, c := range s.Counts {
		lines = append(lines, fmt.Sprint("outcome ", c.BucketStartTime.AsTime().Format(time.RFC3339), " ", c.Type, " ", c.Outcome, " ", c.Count))
	}
	for _, d := range s.Durations {
		lines = append(lines, fmt.Sprint("begun ", d.Type, " ", d.Count))
	}
	for _, r := range s.TopReasons {
		lines = append(lines, fmt.Sprint("reason ", strings.ToLower(errs.Word(r.Reason)), " ", r.Count))
	}
	slices.Sort(lines)
	return lines
}

// recount returns the same, computed from every run.
func (w *world) recount(t *testing.T) []string {
	t.Helper()
	rows, err := w.db.Pool.Query(t.Context(), `
		select 'outcome ' || to_char(completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"') || ' ' || type || ' RUN_OUTCOME_' || upper(outcome) || ' ' || count(*)
		from operation_runs where status = 'completed' group by to_char(completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"'), type, outcome
		union all select 'begun ' || type || ' ' || count(*) from operation_runs where status = 'completed' and started_at is not null group by type
		union all select 'reason ' || reason || ' ' || count(distinct id) from operation_runs, lateral (select e->>'reason_code' as reason from jsonb_array_elements(failure_summary) e) f
			where status = 'completed' group by reason`)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	slices.Sort(lines)
	return lines
}
