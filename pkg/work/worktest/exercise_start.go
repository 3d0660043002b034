package worktest

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

func start(t *testing.T, e *exercise) {
	tenant := int64(7)
	r := e.start(t, with(request("a"), func(r *operationsv1.StartRunRequest) { r.TenantId = &tenant }))
	looks(t, r.GetRun(), "QUEUED PENDING, epoch 0, attempt 0")
	if !r.GetStarted() || r.GetRun().GetTenantId() != 7 || r.GetRun().GetWorkspaceId() != 1 || r.GetRun().GetMaxAttempts() != 3 {
		t.Errorf("started %v", r)
	}
	looks(t, e.get(t, r.GetRun().GetId()), "QUEUED PENDING, epoch 0, attempt 0")
	held := e.start(t, with(request("b"), func(r *operationsv1.StartRunRequest) { r.Holder = "one" })).GetRun()
	looks(t, held, "RUNNING PENDING, epoch 1, attempt 1")
	if _, err := e.Reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: 1 << 40}); errs.Code(errs.FromStatus(err)) != codes.NotFound {
		t.Errorf("a run that is not there: %v", err)
	}
}

func startTwice(t *testing.T, e *exercise) {
	first := e.start(t, request("a"))
	if again := e.start(t, request("a")); again.GetStarted() || again.GetRun().GetId() != first.GetRun().GetId() {
		t.Errorf("a second start of the same work: %v", again)
	}
	tenant := int64(7)
	if other := e.start(t, with(request("a"), func(r *operationsv1.StartRunRequest) { r.TenantId = &tenant })); !other.GetStarted() {
		t.Error("another tenant's work joined the run")
	}
	_, err := e.Runs.StartRun(t.Context(), with(request("a"), func(r *operationsv1.StartRunRequest) {
		r.ConflictPolicy = operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL
	}))
	refused(t, err, codes.Aborted, alreadyActive)
	if err := e.complete(t, first.GetRun().GetId(), 0, cancelled); err != nil {
		t.Fatal(err)
	}
	if next := e.start(t, request("a")); !next.GetStarted() {
		t.Error("the work cannot be started again after it has ended")
	}
}

func startAnyway(t *testing.T, e *exercise) {
	anyway := func(inputs string) *operationsv1.StartRunRequest {
		return with(request(inputs), func(r *operationsv1.StartRunRequest) {
			r.ConflictPolicy = operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING
		})
	}
	waiting := e.started(t, "a")
	if next := e.start(t, anyway("a")); !next.GetStarted() {
		t.Error("a queued run is in the way")
	}
	old := e.get(t, waiting)
	looks(t, old, "COMPLETED CANCELLED, epoch 0, attempt 0")
	if reason := old.GetFailureSummary()[0].GetReason(); reason != operationsv1.FailureReason_FAILURE_REASON_SUPERSEDED {
		t.Errorf("it ended for %s", reason)
	}
	working := e.begun(t, "b")
	_, err := e.Runs.StartRun(t.Context(), anyway("b"))
	refused(t, err, codes.Aborted, alreadyActive)
	if again, ok := errs.As(errs.FromStatus(err)); !ok || again.RetryAfter() <= 0 {
		t.Errorf("the refusal does not say when to come again: %v", err)
	}
	if e.get(t, working.GetId()).GetCancelRequestTime() == nil {
		t.Error("the run at work was not asked to stop")
	}
	e.Expire(t, working.GetId())
	if next := e.start(t, anyway("b")); !next.GetStarted() {
		t.Error("a run whose lease has ended is in the way")
	}
}

func requestIDs(t *testing.T, e *exercise) {
	named := func(inputs, id string) *operationsv1.StartRunRequest {
		return with(request(inputs), func(r *operationsv1.StartRunRequest) { r.RequestId = id })
	}
	first := e.start(t, named("a", "r1"))
	again := e.start(t, named("a", "r1"))
	if !again.GetReplayed() || !again.GetStarted() || again.GetRun().GetId() != first.GetRun().GetId() {
		t.Errorf("a repeated start: %v", again)
	}
	if joined := e.start(t, named("a", "r2")); joined.GetStarted() || joined.GetReplayed() {
		t.Errorf("a start that joins: %v", joined)
	}
	if err := e.complete(t, first.GetRun().GetId(), 0, failed); err != nil {
		t.Fatal(err)
	}
	if joined := e.start(t, named("a", "r2")); joined.GetStarted() || !joined.GetReplayed() || joined.GetRun().GetStatus() != completed {
		t.Errorf("a repeated start that had joined: %v", joined)
	}
	_, err := e.Runs.StartRun(t.Context(), named("b", "r1"))
	refused(t, err, codes.InvalidArgument, operationsv1.RunReason_RUN_REASON_REQUEST_ID_REUSED)
}

func retries(t *testing.T, e *exercise) {
	original := e.started(t, "a")
	retry := func(of int64, inputs string) *operationsv1.StartRunRequest {
		return with(request(inputs), func(r *operationsv1.StartRunRequest) { r.RetryOf = &of })
	}
	for what, req := range map[string]*operationsv1.StartRunRequest{
		"that has not ended": retry(original, "a"),
		"that is not there":  retry(1<<40, "a"),
		"of other work":      retry(original, "b"),
	} {
		if _, err := e.Runs.StartRun(t.Context(), req); errs.Code(errs.FromStatus(err)) != codes.InvalidArgument {
			t.Errorf("a retry of a run %s: %v", what, err)
		}
	}
	if err := e.complete(t, original, 0, failed); err != nil {
		t.Fatal(err)
	}
	if r := e.start(t, retry(original, "a")).GetRun(); r.GetRetryOf() != original || r.GetRetryNumber() != 1 {
		t.Errorf("a retry: %v", r)
	}
}
