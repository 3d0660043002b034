package work

import (
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func TestStartRepeatsItselfUntilTheRunInTheWayHasStopped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	inTheWay := errs.Aborted("RUN_ALREADY_ACTIVE", "run 9 is being cancelled").RetryIn(time.Millisecond)
	w.ops.FailCall(1, "StartRun", inTheWay)
	w.ops.FailCall(2, "StartRun", inTheWay)
	worker := w.worker(t, done)
	req := &operationsv1.StartRunRequest{WorkspaceId: 1, Type: syncType, ConflictPolicy: operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING}
	if _, err := worker.Start(t.Context(), req); err != nil {
		t.Errorf("Start: %v", err)
	}
	w.ops.FailCall(1, "StartRun", inTheWay)
	req.ConflictPolicy = operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL
	if _, err := worker.Start(t.Context(), req); errs.Reason(err) != "RUN_ALREADY_ACTIVE" {
		t.Errorf("Start: %v, want the refusal itself", err)
	}
}
