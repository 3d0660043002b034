package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func TestReasonsOfRefusalsAreOfTheEnum(t *testing.T) {
	t.Parallel()
	for reason, file := range rpctest.Reasons(t, "..") {
		_, ok := errs.FromWord[operationsv1.RunReason](reason)
		require.True(t, ok, "%s: RunReason has no %s", file, reason)
	}
}

// What a completion says comes back; what no service may say, and what only a
// newer one does, comes back as unknown.
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

// Imported rows have words of their own. They are shown as they are.
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
