package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

const (
	useExisting    = operationsv1.ConflictPolicy_CONFLICT_POLICY_USE_EXISTING
	failOnExisting = operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL
	cancelExisting = operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING
)

func TestStartStoresWhatWasAsked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	req := sync("abc")
	req.InitiatorName = "schedule"
	req.Context = mustStruct(t, map[string]any{"inputs": map[string]any{"selection_hash": "abc"}})
	r := w.start(t, req)

	sum := sha256.Sum256([]byte("5|inventory_sync|abc"))
	require.Equal(t, hex.EncodeToString(sum[:]), r.RunIdentityHash)
	require.Equal(t, queued, r.Status)
	require.Equal(t, pending, r.Outcome)
	require.Equal(t, "schedule", r.InitiatorName)
	require.EqualValues(t, 3, r.MaxAttempts)
	require.NotNil(t, r.QueueTime)
	require.Nil(t, r.StartTime)
	require.Equal(t, req.Context.AsMap(), r.Context.AsMap())
	require.Equal(t, []string{"created"}, w.events(t, r.Id))
}

func TestStartWithHolderIsBegunAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	req := sync("abc")
	req.Holder = "us"
	r := w.start(t, req)
	require.Equal(t, running, r.Status)
	require.EqualValues(t, 1, r.LeaseEpoch)
	require.EqualValues(t, 1, r.Attempt)
	require.Equal(t, "us", r.LeaseHolder)
	require.NotNil(t, r.LeaseExpireTime)
	w.complete(t, r, succeeded)
	require.Equal(t, []string{"created", "completed"}, w.events(t, r.Id))
}

func TestRequestIDReplaysTheCall(t *testing.T) {
	t.Parallel()
	w := setup(t)
	req := sync("abc")
	req.RequestId = "one"
	first := w.start(t, req)
	w.complete(t, w.begin(t, first.Id, "us"), succeeded)

	again, err := w.runs.StartRun(t.Context(), req)
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.True(t, again.Started, "the response is that of the first call")
	require.Equal(t, first.Id, again.Run.Id)
	require.Equal(t, succeeded, again.Run.Outcome, "the run is returned as it is now")

	other := sync("xyz")
	other.RequestId = "one"
	_, err = w.runs.StartRun(t.Context(), other)
	requireRefused(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")

	elsewhere := sync("abc")
	elsewhere.WorkspaceId, elsewhere.RequestId = 2, "one"
	require.NotEqual(t, first.Id, w.start(t, elsewhere).Id, "request ids are per workspace")
}

func TestRequestIDRemembersAJoin(t *testing.T) {
	t.Parallel()
	w := setup(t)
	twin := w.start(t, sync("abc"))
	req := sync("abc")
	req.RequestId = "joiner"
	joined, err := w.runs.StartRun(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, []any{twin.Id, false, false}, []any{joined.Run.Id, joined.Started, joined.Replayed})

	w.complete(t, w.begin(t, twin.Id, "us"), succeeded)
	again, err := w.runs.StartRun(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, []any{twin.Id, false, true}, []any{again.Run.Id, again.Started, again.Replayed})
}

func TestConflictPolicies(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		twin    string
		policy  operationsv1.ConflictPolicy
		started bool
		refused bool
		after   operationsv1.RunOutcome // of the twin
		asked   bool                    // the twin to cancel
	}{
		"joins a queued one":         {twin: "queued", policy: useExisting, after: pending},
		"joins a running one":        {twin: "running", policy: useExisting, after: pending},
		"starts after an ended one":  {twin: "succeeded", policy: failOnExisting, started: true, after: succeeded},
		"is refused by a queued one": {twin: "queued", policy: failOnExisting, refused: true, after: pending},
		"supersedes a queued one":    {twin: "queued", policy: cancelExisting, started: true, after: cancelled},
		"supersedes an expired one":  {twin: "expired", policy: cancelExisting, started: true, after: cancelled},
		"asks a running one to stop": {twin: "running", policy: cancelExisting, refused: true, after: pending, asked: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			twin := w.start(t, sync("abc"))
			switch tt.twin {
			case "running":
				w.begin(t, twin.Id, "us")
			case "expired":
				w.begin(t, twin.Id, "us")
				w.expire(t, twin.Id)
			case "succeeded":
				w.complete(t, w.begin(t, twin.Id, "us"), succeeded)
			}
			req := sync("abc")
			req.ConflictPolicy, req.RequestId = tt.policy, "me"
			resp, err := w.runs.StartRun(t.Context(), req)
			if tt.refused {
				requireRefused(t, err, codes.Aborted, "RUN_ALREADY_ACTIVE")
				e, _ := errs.As(err)
				require.Equal(t, tt.asked, e.RetryAfter() > 0)
				require.NotEmpty(t, e.Metadata()["run_id"])
			} else {
				require.NoError(t, err)
				require.Equal(t, tt.started, resp.Started)
				require.Equal(t, tt.started, resp.Run.Id != twin.Id)
			}
			now := w.get(t, twin.Id)
			require.Equal(t, tt.after, now.Outcome)
			require.Equal(t, tt.asked, now.CancelRequestTime != nil)
			var remembered bool
			require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select exists (select from run_request where request_id = 'me')").Scan(&remembered))
			require.Equal(t, !tt.refused, remembered, "a refused call leaves its request id free")
		})
	}
}

func TestSupersededSaysSo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	twin := w.start(t, sync("abc"))
	req := sync("abc")
	req.ConflictPolicy = cancelExisting
	w.start(t, req)
	require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_SUPERSEDED, w.get(t, twin.Id).FailureSummary[0].Reason)
}

func TestRetryTakesItsPlaceInTheChain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.start(t, sync("abc"))
	retry := sync("abc")
	retry.RetryOf = &first.Id
	_, err := w.runs.StartRun(t.Context(), retry)
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")

	w.complete(t, w.begin(t, first.Id, "us"), failed)
	second := w.start(t, retry)
	require.EqualValues(t, 1, second.RetryNumber)
	require.Equal(t, first.RunIdentityHash, second.RunIdentityHash)

	other := sync("xyz")
	other.RetryOf = &first.Id
	_, err = w.runs.StartRun(t.Context(), other)
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
}

// A hundred callers start one identity, with and without one request id. There is one run.
func TestConcurrentStartsAreOneRun(t *testing.T) {
	t.Parallel()
	for name, requestID := range map[string]string{"one identity": "", "one request id": "same"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			const callers = 100
			answers := make([]*operationsv1.StartRunResponse, callers)
			var group errgroup.Group
			for i := range answers {
				group.Go(func() error {
					req := sync("abc")
					req.RequestId = requestID
					var err error
					answers[i], err = w.runs.StartRun(t.Context(), req)
					return err
				})
			}
			require.NoError(t, group.Wait())
			fresh := 0
			for _, a := range answers {
				require.Equal(t, answers[0].Run.Id, a.Run.Id)
				if a.Started && !a.Replayed {
					fresh++
				}
			}
			require.Equal(t, 1, fresh)
			var rows, events int
			require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select (select count(*) from operation_runs), (select count(*) from run_event)").Scan(&rows, &events))
			require.Equal(t, []int{1, 1}, []int{rows, events})
		})
	}
}

// Different requests with one id are made at once. One succeeds, the others are refused.
func TestConcurrentStartsOfOneRequestIDWithOtherBodies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const callers = 40
	refused := make([]error, callers)
	var group errgroup.Group
	for i := range callers {
		group.Go(func() error {
			req := sync(string(rune('a' + i)))
			req.RequestId = "same"
			_, refused[i] = w.runs.StartRun(t.Context(), req)
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
		requireRefused(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
	}
	require.Equal(t, 1, won)
}

func mustStruct(t *testing.T, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(m)
	require.NoError(t, err)
	return s
}

// asOwner executes a statement as the owner role, as the takeover does.
func (w *world) asOwner(t *testing.T, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}

func TestNothingStartsInAWorkspaceThatIsBeingTakenOver(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.asOwner(t, "insert into workspace_hold (workspace_id) values (1)")
	_, err := w.runs.StartRun(t.Context(), sync("a"))
	require.Equal(t, run.ReasonTakeoverInProgress, errs.Reason(err), "%v", err)

	elsewhere := sync("a")
	elsewhere.WorkspaceId = 2
	w.start(t, elsewhere)

	w.asOwner(t, "update workspace_hold set starts_allowed = true")
	w.start(t, sync("a"))
}

func TestRetentionLeavesAWorkspaceThatIsBeingTakenOver(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.keeping(t, `{"keep_at_least":0,"keep_newest":false}`)
	w.ended(t, "inventory_sync", "failed", 3, daysAgo(100), 3)
	w.fold(t)
	w.asOwner(t, "insert into workspace_hold (workspace_id, starts_allowed) values (1, true)")
	require.Zero(t, w.retain(t, s))
	w.asOwner(t, "delete from workspace_hold")
	require.EqualValues(t, 3, w.retain(t, s))
}

func TestAReferenceToARemovedRunSaysSo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	original, parent := w.at(t, "succeeded"), w.at(t, "succeeded")
	var id int64
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), `
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, queued_at, max_attempts, retry_of, retry_number, parent_run_id)
		values (1, 'x', 'inventory_sync', 'queued', 'pending', sha256('x'), now(), 3, $1, 1, $2) returning id`, original.Id, parent.Id).Scan(&id))
	require.Empty(t, w.get(t, id).RemovedReferences)
	owner, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	for _, step := range []struct {
		removed int64
		want    []string
	}{{original.Id, []string{"retry_of"}}, {parent.Id, []string{"parent_run_id", "retry_of"}}} {
		_, err := owner.Exec(t.Context(), "delete from operation_runs where id = $1", step.removed)
		require.NoError(t, err)
		got := w.get(t, id)
		require.Equal(t, step.want, got.RemovedReferences)
		require.Equal(t, original.Id, got.GetRetryOf(), "the id that it named stays")
	}
}

// A repeated request gets the same result although a run it refers to was removed since.
func TestAStartIsReplayedAfterItsReferencesWereRemoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	original, parent := w.start(t, sync("a")), w.at(t, "succeeded")
	w.complete(t, w.begin(t, original.Id, "us"), failed)
	retry := sync("a")
	retry.RequestId, retry.RetryOf, retry.ParentRunId = "said", &original.Id, &parent.Id
	first := w.start(t, retry)
	owner, err := pgx.Connect(t.Context(), w.db.OwnerURL)
	require.NoError(t, err)
	defer owner.Close(t.Context())
	_, err = owner.Exec(t.Context(), "delete from operation_runs where id = any($1)", []int64{original.Id, parent.Id})
	require.NoError(t, err)

	again, err := w.runs.StartRun(t.Context(), retry)
	require.NoError(t, err)
	require.Equal(t, []any{first.Id, true, true}, []any{again.Run.Id, again.Started, again.Replayed})
	unsaid, other := sync("a"), sync("b")
	unsaid.RequestId, unsaid.RetryOf = "unsaid", &original.Id
	other.RequestId, other.RetryOf = "said", &original.Id
	batch, err := w.runs.BatchStartRuns(t.Context(), &operationsv1.BatchStartRunsRequest{
		Requests: []*operationsv1.StartRunRequest{retry, unsaid, other, sync("c")},
	})
	require.NoError(t, err)
	require.Equal(t, first.Id, batch.Results[0].GetResponse().GetRun().GetId())
	require.True(t, batch.Results[0].GetResponse().GetReplayed())
	require.Contains(t, batch.Results[1].GetError().GetMessage(), "there is no run")
	require.Contains(t, batch.Results[2].GetError().GetMessage(), "was used before")
	require.True(t, batch.Results[3].GetResponse().GetStarted())
	_, err = w.runs.StartRun(t.Context(), unsaid)
	requireRefused(t, err, codes.InvalidArgument, "INVALID_FIELD")
}
