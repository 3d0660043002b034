package api_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	authzv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/authz/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

func TestBadStartsNameTheField(t *testing.T) {
	t.Parallel()
	w := setup(t)
	deep := structpb.NewStringValue("x")
	for range 80 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	tests := map[string]struct {
		change func(*operationsv1.StartRunRequest)
		field  string
	}{}
	add := func(name, field string, change func(*operationsv1.StartRunRequest)) {
		tests[name] = struct {
			change func(*operationsv1.StartRunRequest)
			field  string
		}{change, field}
	}
	add("unknown type", "type", func(r *operationsv1.StartRunRequest) { r.Type = "inventory_sink" })
	add("dotted type", "type", func(r *operationsv1.StartRunRequest) { r.Type = "inventory" + ".sync" })
	add("no workspace", "workspace_id", func(r *operationsv1.StartRunRequest) { r.WorkspaceId = 0 })
	add("NUL in context", "context", func(r *operationsv1.StartRunRequest) {
		r.Context = mustStruct(t, map[string]any{"a": map[string]any{"b": "x\x00y"}})
	})
	add("NUL in a key", "context", func(r *operationsv1.StartRunRequest) { r.Context = mustStruct(t, map[string]any{"a\x00": "x"}) })
	add("NUL in inputs", "identity_inputs", func(r *operationsv1.StartRunRequest) { r.IdentityInputs = "\x00" })
	add("large context", "context", func(r *operationsv1.StartRunRequest) {
		r.Context = mustStruct(t, map[string]any{"a": strings.Repeat("x", 65<<10)})
	})
	add("huge context", "context", func(r *operationsv1.StartRunRequest) {
		r.Context = mustStruct(t, map[string]any{"a": strings.Repeat("x", 10<<20)})
	})
	add("deep context", "context", func(r *operationsv1.StartRunRequest) {
		r.Context = &structpb.Struct{Fields: map[string]*structpb.Value{"a": deep}}
	})
	add("infinite number", "context", func(r *operationsv1.StartRunRequest) {
		r.Context = mustStruct(t, map[string]any{"a": math.Inf(1)})
	})
	add("unknown policy", "conflict_policy", func(r *operationsv1.StartRunRequest) { r.ConflictPolicy = 9 })
	add("retry of nothing", "retry_of", func(r *operationsv1.StartRunRequest) { id := int64(404); r.RetryOf = &id })
	add("part of nothing", "parent_run_id", func(r *operationsv1.StartRunRequest) { id := int64(404); r.ParentRunId = &id })
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := sync("abc")
			tt.change(req)
			_, err := w.runs.StartRun(t.Context(), req)
			requireField(t, err, tt.field)
		})
	}
}

func requireField(t *testing.T, err error, field string) {
	t.Helper()
	require.Equal(t, codes.InvalidArgument, errs.Code(err), "%v", err)
	e, ok := errs.As(err)
	require.True(t, ok)
	require.NotEmpty(t, e.Fields())
	require.True(t, strings.HasPrefix(e.Fields()[0].Path, field), "%+v", e.Fields())
}

func TestInvalidUTF8IsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.runs.StartRun(t.Context(), &operationsv1.StartRunRequest{WorkspaceId: 1, Type: "inventory_sync", IdentityInputs: "\xff"})
	// gRPC in Go refuses to send it. A test of pkg/rpc has a client that does send it.
	require.Error(t, err)
	require.NotEqual(t, codes.OK, status.Code(err))
}

func TestBadReportsNameTheField(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.at(t, "running")
	counts := map[string]map[string]int64{
		"negative": {"processed": -1}, "bad name": {"Processed!": 1}, "too many": {}, "far too many": {},
	}
	for i := range 65 {
		counts["too many"]["c"+strings.Repeat("x", i)] = 1
	}
	for i := range 10_000 {
		counts["far too many"][fmt.Sprint("c", i)] = 1
	}
	for name, c := range counts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.runs.ReportProgress(t.Context(), &operationsv1.ReportProgressRequest{RunId: r.Id, LeaseEpoch: 1, SummaryCounts: c})
			requireField(t, err, "summary_counts")
			_, err = w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: 1, Outcome: succeeded, SummaryCounts: c})
			requireField(t, err, "summary_counts")
		})
	}
	_, err := w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: 1, Outcome: pending})
	requireField(t, err, "outcome")
	large := []*operationsv1.Failure{}
	for range 20 {
		large = append(large, &operationsv1.Failure{Reason: operationsv1.FailureReason_FAILURE_REASON_UNKNOWN, Message: strings.Repeat("x", 2000)})
	}
	_, err = w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: r.Id, LeaseEpoch: 1, Outcome: failed, FailureSummary: large})
	requireField(t, err, "failure_summary")
	require.Equal(t, running, w.get(t, r.Id).Status, "nothing changed")
}

func TestOnlyTheOwnerServiceMovesARun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	backup := operationsv1.NewRunServiceClient(w.svc.Dial(t, "backup"))
	_, err := backup.StartRun(t.Context(), sync("abc"))
	requireRefused(t, err, codes.PermissionDenied, "RUN_TYPE_NOT_OWNED")
	r := w.at(t, "queued")
	_, err = backup.BeginRun(t.Context(), &operationsv1.BeginRunRequest{RunId: r.Id, Holder: "x"})
	requireRefused(t, err, codes.PermissionDenied, "RUN_TYPE_NOT_OWNED")
	began := w.begin(t, r.Id, "us")
	for _, call := range []string{"progress", "release", "fail"} {
		thief := &world{db: w.db, svc: w.svc, store: w.store, runs: backup, reader: w.reader}
		requireRefused(t, thief.say(t, call, began, began.LeaseEpoch), codes.PermissionDenied, "RUN_TYPE_NOT_OWNED")
	}
	_, err = backup.ListDispatchableRuns(t.Context(), &operationsv1.ListDispatchableRunsRequest{Types: []string{"inventory_sync"}})
	requireRefused(t, err, codes.PermissionDenied, "RUN_TYPE_NOT_OWNED")
}

func TestCallersNotPermitted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, who := range []string{"gateway", "operator", "tenancy", "somebody"} {
		runs := operationsv1.NewRunServiceClient(w.svc.Dial(t, who))
		_, err := runs.StartRun(t.Context(), sync("abc"))
		requireRefused(t, err, codes.PermissionDenied, "CALLER_NOT_PERMITTED")
	}
	_, err := operationsv1.NewRunReaderServiceClient(w.svc.Dial(t, "tenancy")).GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: 1})
	requireRefused(t, err, codes.PermissionDenied, "CALLER_NOT_PERMITTED")
	_, err = operationsv1.NewRunReaderServiceClient(w.svc.Dial(t, "gateway")).GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: 1})
	require.Equal(t, codes.Unauthenticated, errs.Code(err), "the gateway never acts for itself")
}

// A run that is malformed, missing or foreign is refused with the same bytes. A member
// without the capability gets an error that names the missing one.
func TestForeignRunsLookMissing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	mine := w.at(t, "running")
	foreign := sync("abc")
	foreign.WorkspaceId = 2
	theirs := w.start(t, foreign)
	runs, reader := w.as(t, "readonly")

	missing := map[string]string{}
	for name, id := range map[string]int64{"foreign": theirs.Id, "missing": 9999999, "malformed": -4} {
		_, err := reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: id})
		missing["get "+name] = status.Convert(err).Proto().String()
		_, err = reader.ListRunEvents(t.Context(), &operationsv1.ListRunEventsRequest{RunId: id, PageSize: -1})
		missing["events "+name] = status.Convert(err).Proto().String()
		_, err = runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: id})
		missing["cancel "+name] = status.Convert(err).Proto().String()
	}
	for name, said := range missing {
		require.Equal(t, missing["get missing"], said, name)
		require.NotContains(t, said, "INTERNAL")
	}
	_, err := reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: theirs.Id})
	requireRefused(t, err, codes.NotFound, "NOT_FOUND")

	_, err = runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: mine.Id})
	requireRefused(t, err, codes.PermissionDenied, "CAPABILITY_MISSING")
	runs, _ = w.as(t, "operator")
	stopped, err := runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: mine.Id})
	require.NoError(t, err)
	require.Equal(t, "Ada Byron", stopped.Run.CancelRequestedBy)
	_, err = reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: 2})
	requireRefused(t, err, codes.NotFound, "NOT_FOUND")
}

func TestInitiatorIsTheEndUserBehindTheCall(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ada := actor.Actor{UserID: 7, Name: "Ada Byron", Memberships: []actor.Membership{{WorkspaceID: 1, Role: "operator"}}}
	runs := operationsv1.NewRunServiceClient(w.svc.DialActor(t, "inventory", ada))
	resp, err := runs.StartRun(t.Context(), sync("abc"))
	require.NoError(t, err)
	require.Equal(t, "Ada Byron", resp.Run.InitiatorName)
	require.EqualValues(t, 7, resp.Run.GetUserId())

	other := sync("xyz")
	user := int64(8)
	other.UserId = &user
	_, err = runs.StartRun(t.Context(), other)
	requireField(t, err, "user_id")
}

// A type whose owner may not call StartRun could never have a run.
func TestOwnersOfTypesMayStartRuns(t *testing.T) {
	t.Parallel()
	method := operationsv1.File_tenantpilot_operations_v1_run_service_proto.Services().ByName("RunService").Methods().ByName("StartRun")
	rule, _ := proto.GetExtension(method.Options(), authzv1.E_Rule).(*authzv1.Rule)
	callers, err := rpc.Callers(rule)
	require.NoError(t, err)
	for _, typ := range run.DefaultTypes() {
		require.Contains(t, callers, typ.Owner, "%s owns the run type %s: add it to the group `workers` in proto/tenantpilot/authz/v1/authz.proto", typ.Owner, typ.Name)
	}
}

func TestReasonsOfRefusalsAreOfTheEnum(t *testing.T) {
	t.Parallel()
	for reason, file := range rpctest.Reasons(t, "..") {
		_, ok := errs.FromWord[operationsv1.RunReason](reason)
		require.True(t, ok, "%s: RunReason has no %s", file, reason)
	}
}

// The reason of a failure is returned as it was given. A reason that no service may give,
// or that only a newer version knows, is returned as unknown.
func TestReasonsOfFailuresComeBack(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for number := range operationsv1.FailureReason_name {
		w.failWith(t, operationsv1.FailureReason(number))
	}
	w.failWith(t, 999)
}

func (w *world) failWith(t *testing.T, reason operationsv1.FailureReason) {
	t.Helper()
	want := reason
	switch reason {
	case operationsv1.FailureReason_FAILURE_REASON_UNSPECIFIED, operationsv1.FailureReason_FAILURE_REASON_OTHER, 999:
		want = operationsv1.FailureReason_FAILURE_REASON_UNKNOWN
	}
	r := w.start(t, sync(reason.String()))
	_, err := w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{
		RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: failed, FailureSummary: []*operationsv1.Failure{{Reason: reason, Message: "m"}},
	})
	require.NoError(t, err)
	got := w.get(t, r.Id).FailureSummary[0]
	require.Equal(t, want, got.Reason)
	require.Empty(t, got.OtherReason)
}

// A filter takes every reason as responses show it, and as it is stored. An imported
// word is found as it is.
func TestListFiltersByReason(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for n, name := range operationsv1.FailureReason_name {
		reason := operationsv1.FailureReason(n)
		if reason == operationsv1.FailureReason_FAILURE_REASON_UNSPECIFIED || reason == operationsv1.FailureReason_FAILURE_REASON_OTHER {
			continue
		}
		r := w.start(t, sync(name))
		_, err := w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{
			RunId: r.Id, LeaseEpoch: r.LeaseEpoch, Outcome: failed, FailureSummary: []*operationsv1.Failure{{Reason: reason, Message: "m"}},
		})
		require.NoError(t, err)
		require.Equal(t, []int64{r.Id}, w.list(t, "reason_code = "+name))
		require.Equal(t, []int64{r.Id}, w.list(t, "reason_code = "+strings.ToLower(errs.Word(reason))))
	}
	for _, word := range []string{"graph_error", "other", "THROTTLED", "FAILURE_REASON_HOMEMADE"} {
		r := w.start(t, sync(word))
		w.exec(t, `update operation_runs set failure_summary = jsonb_build_array(jsonb_build_object('reason_code', $2::text)) where id = $1`, r.Id, word)
		require.Equal(t, []int64{r.Id}, w.list(t, "reason_code = "+word))
	}
}

// Imported rows have other words for reasons. They are shown as they are.
func TestUnknownStoredReasonIsShown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.start(t, sync("a"))
	for _, stored := range []string{"graph_error", "other", "unspecified", "THROTTLED", "ä"} {
		w.exec(t, `update operation_runs set failure_summary = jsonb_build_array(jsonb_build_object('reason_code', $2::text)) where id = $1`, r.Id, stored)
		f := w.get(t, r.Id).FailureSummary[0]
		require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_OTHER, f.Reason, stored)
		require.Equal(t, stored, f.OtherReason)
	}
	w.exec(t, `update operation_runs set failure_summary = '[{"message": "no reason at all"}]' where id = $1`, r.Id)
	require.Equal(t, operationsv1.FailureReason_FAILURE_REASON_UNKNOWN, w.get(t, r.Id).FailureSummary[0].Reason)
}
