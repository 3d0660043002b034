package worktest

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Type is the run type that [Exercise] uses.
const Type = "inventory_sync"

// Subject is a run store for [Exercise]: it is empty, gives a run three attempts, and is
// called in the name of the service that owns [Type].
type Subject struct {
	Runs   operationsv1.RunServiceClient
	Reader operationsv1.RunReaderServiceClient
	Expire func(t *testing.T, runID int64) // ends the lease of a run
	Reap   func(t *testing.T)              // makes one pass of the reaper
}

// Exercise checks that a run store keeps the rules that services and their workers rely
// on. It runs against [Store] and against operations.
func Exercise(t *testing.T, fresh func(t *testing.T) Subject) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, *exercise){
		"start":           start,
		"start twice":     startTwice,
		"start anyway":    startAnyway,
		"request ids":     requestIDs,
		"retries":         retries,
		"begin":           begin,
		"begin, expired":  beginExpired,
		"progress":        progress,
		"release":         release,
		"complete":        complete,
		"complete, late":  completeLate,
		"complete queued": completeQueued,
		"cancel":          cancel,
		"reap":            reap,
		"dispatchable":    dispatchable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, &exercise{Subject: fresh(t)})
		})
	}
}

type exercise struct{ Subject }

func request(inputs string) *operationsv1.StartRunRequest {
	return &operationsv1.StartRunRequest{WorkspaceId: 1, Type: Type, IdentityInputs: inputs}
}

// with changes a request and returns it.
func with(req *operationsv1.StartRunRequest, change func(*operationsv1.StartRunRequest)) *operationsv1.StartRunRequest {
	change(req)
	return req
}

func (e *exercise) start(t *testing.T, req *operationsv1.StartRunRequest) *operationsv1.StartRunResponse {
	t.Helper()
	resp, err := e.Runs.StartRun(t.Context(), req)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return resp
}

// started returns the id of a new run.
func (e *exercise) started(t *testing.T, inputs string) int64 {
	t.Helper()
	return e.start(t, request(inputs)).GetRun().GetId()
}

// begun returns a new run that "one" holds.
func (e *exercise) begun(t *testing.T, inputs string) *operationsv1.Run {
	t.Helper()
	r, err := e.begin(t, e.started(t, inputs), "one")
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return r
}

func (e *exercise) begin(t *testing.T, id int64, holder string) (*operationsv1.Run, error) {
	t.Helper()
	resp, err := e.Runs.BeginRun(t.Context(), &operationsv1.BeginRunRequest{RunId: id, Holder: holder})
	return resp.GetRun(), err
}

func (e *exercise) complete(t *testing.T, id, epoch int64, outcome operationsv1.RunOutcome) error {
	t.Helper()
	_, err := e.Runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{RunId: id, LeaseEpoch: epoch, Outcome: outcome})
	return err
}

func (e *exercise) get(t *testing.T, id int64) *operationsv1.Run {
	t.Helper()
	resp, err := e.Reader.GetRun(t.Context(), &operationsv1.GetRunRequest{RunId: id})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return resp.GetRun()
}

// looks checks the state, the epoch and the attempt of a run.
func looks(t *testing.T, r *operationsv1.Run, want string) {
	t.Helper()
	got := fmt.Sprintf("%s %s, epoch %d, attempt %d", errs.Word(r.GetStatus()), errs.Word(r.GetOutcome()), r.GetLeaseEpoch(), r.GetAttempt())
	if got != want {
		t.Errorf("run %d is %s, want %s", r.GetId(), got, want)
	}
}

// refused checks the code and the reason of an error.
func refused(t *testing.T, err error, code codes.Code, reason operationsv1.RunReason) {
	t.Helper()
	if err = errs.FromStatus(err); errs.Code(err) != code || !errs.HasReason(err, reason) {
		t.Errorf("refused with %v, want %s %s", err, code, reason)
	}
}

const (
	succeeded = operationsv1.RunOutcome_RUN_OUTCOME_SUCCEEDED

	leaseLost     = operationsv1.RunReason_RUN_REASON_LEASE_LOST
	leaseHeld     = operationsv1.RunReason_RUN_REASON_LEASE_HELD
	runEnded      = operationsv1.RunReason_RUN_REASON_RUN_COMPLETED
	alreadyActive = operationsv1.RunReason_RUN_REASON_RUN_ALREADY_ACTIVE
)

func begin(t *testing.T, e *exercise) {
	id := e.started(t, "a")
	for range 2 {
		r, err := e.begin(t, id, "one")
		if err != nil {
			t.Fatal(err)
		}
		looks(t, r, "RUNNING PENDING, epoch 1, attempt 1")
		if r.GetLeaseExpireTime() == nil || r.GetLeaseHolder() != "one" {
			t.Errorf("the lease: %v", r)
		}
	}
	_, err := e.begin(t, id, "two")
	refused(t, err, codes.Aborted, leaseHeld)
	if err := e.complete(t, id, 1, succeeded); err != nil {
		t.Fatal(err)
	}
	_, err = e.begin(t, id, "one")
	refused(t, err, codes.FailedPrecondition, runEnded)
	if _, err = e.begin(t, 1<<40, "one"); errs.Code(errs.FromStatus(err)) != codes.NotFound {
		t.Errorf("a run that is not there: %v", err)
	}
}

func beginExpired(t *testing.T, e *exercise) {
	id := e.started(t, "a")
	for attempt := range 3 {
		r, err := e.begin(t, id, fmt.Sprint("holder ", attempt))
		if err != nil {
			t.Fatal(err)
		}
		looks(t, r, fmt.Sprintf("RUNNING PENDING, epoch %d, attempt %d", attempt+1, attempt+1))
		e.Expire(t, id)
	}
	_, err := e.begin(t, id, "one too many")
	refused(t, err, codes.FailedPrecondition, runEnded)
	r := e.get(t, id)
	looks(t, r, "COMPLETED FAILED, epoch 3, attempt 3")
	if reason := r.GetFailureSummary()[0].GetReason(); reason != operationsv1.FailureReason_FAILURE_REASON_LEASE_EXPIRED {
		t.Errorf("it ended for %s", reason)
	}
}

func (e *exercise) beat(ctx context.Context, id, epoch int64, counts map[string]int64) (*operationsv1.ReportProgressResponse, error) {
	return e.Runs.ReportProgress(ctx, &operationsv1.ReportProgressRequest{RunId: id, LeaseEpoch: epoch, SummaryCounts: counts})
}

func progress(t *testing.T, e *exercise) {
	r := e.begun(t, "a")
	resp, err := e.beat(t.Context(), r.GetId(), 1, map[string]int64{"processed": 3})
	if err != nil || resp.GetCancelRequested() || resp.GetLeaseExpireTime() == nil {
		t.Errorf("a heartbeat: %v, %v", resp, err)
	}
	if _, err := e.Runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: r.GetId(), Reason: "enough"}); err != nil {
		t.Fatal(err)
	}
	if resp, err = e.beat(t.Context(), r.GetId(), 1, nil); err != nil || !resp.GetCancelRequested() || resp.GetCancelReason() != "enough" {
		t.Errorf("a heartbeat after the cancel request: %v, %v", resp, err)
	}
	if n := e.get(t, r.GetId()).GetSummaryCounts()["processed"]; n != 3 {
		t.Errorf("a heartbeat without counters changed them to %d", n)
	}
	_, err = e.beat(t.Context(), r.GetId(), 2, nil)
	refused(t, err, codes.Aborted, leaseLost)
	_, err = e.beat(t.Context(), e.started(t, "b"), 0, nil)
	refused(t, err, codes.Aborted, leaseLost)
	if err := e.complete(t, r.GetId(), 1, cancelled); err != nil {
		t.Fatal(err)
	}
	_, err = e.beat(t.Context(), r.GetId(), 1, nil)
	refused(t, err, codes.FailedPrecondition, runEnded)
}

func release(t *testing.T, e *exercise) {
	r := e.begun(t, "a")
	for range 2 { // the second repeats the first
		resp, err := e.Runs.ReleaseRun(t.Context(), &operationsv1.ReleaseRunRequest{RunId: r.GetId(), LeaseEpoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		looks(t, resp.GetRun(), "QUEUED PENDING, epoch 2, attempt 0")
	}
	_, err := e.Runs.ReleaseRun(t.Context(), &operationsv1.ReleaseRunRequest{RunId: r.GetId(), LeaseEpoch: 2})
	refused(t, err, codes.Aborted, leaseLost)
	if r, err = e.begin(t, r.GetId(), "two"); err != nil {
		t.Fatal(err)
	}
	looks(t, r, "RUNNING PENDING, epoch 3, attempt 1")
	if _, err := e.Runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: r.GetId()}); err != nil {
		t.Fatal(err)
	}
	resp, err := e.Runs.ReleaseRun(t.Context(), &operationsv1.ReleaseRunRequest{RunId: r.GetId(), LeaseEpoch: 3})
	if err != nil {
		t.Fatal(err)
	}
	looks(t, resp.GetRun(), "COMPLETED CANCELLED, epoch 3, attempt 1")
}

func complete(t *testing.T, e *exercise) {
	r := e.begun(t, "a")
	req := &operationsv1.CompleteRunRequest{
		RunId: r.GetId(), LeaseEpoch: 1, Outcome: failed, SummaryCounts: map[string]int64{"processed": 2},
		FailureSummary: []*operationsv1.Failure{{Reason: operationsv1.FailureReason_FAILURE_REASON_THROTTLED, Message: "m"}},
	}
	for _, req.View = range []operationsv1.RunView{0, operationsv1.RunView_RUN_VIEW_BASIC} { // the second repeats the first
		resp, err := e.Runs.CompleteRun(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		looks(t, resp.GetRun(), "COMPLETED FAILED, epoch 1, attempt 1")
		if shown := len(resp.GetRun().GetFailureSummary()) == 1; shown != (req.GetView() == 0) {
			t.Errorf("with the view %s the response shows %v", req.GetView(), resp.GetRun())
		}
	}
	got := e.get(t, r.GetId())
	if got.GetSummaryCounts()["processed"] != 2 || len(got.GetFailureSummary()) != 1 || !proto.Equal(got.GetFailureSummary()[0], req.GetFailureSummary()[0]) {
		t.Errorf("the run ended as %v", got)
	}
	refused(t, e.complete(t, r.GetId(), 1, succeeded), codes.FailedPrecondition, runEnded)
	if err := e.complete(t, 1<<40, 1, succeeded); errs.Code(errs.FromStatus(err)) != codes.NotFound {
		t.Errorf("a run that is not there: %v", err)
	}
}

// A completion counts after the end of the lease while nobody else has the run.
func completeLate(t *testing.T, e *exercise) {
	r := e.begun(t, "a")
	e.Expire(t, r.GetId())
	if err := e.complete(t, r.GetId(), 1, succeeded); err != nil {
		t.Errorf("late, but still the holder: %v", err)
	}
	r = e.begun(t, "b")
	e.Expire(t, r.GetId())
	if _, err := e.begin(t, r.GetId(), "two"); err != nil {
		t.Fatal(err)
	}
	refused(t, e.complete(t, r.GetId(), 1, succeeded), codes.Aborted, leaseLost)
}

func completeQueued(t *testing.T, e *exercise) {
	id := e.started(t, "a")
	refused(t, e.complete(t, id, 0, succeeded), codes.FailedPrecondition, operationsv1.RunReason_RUN_REASON_RUN_NOT_RUNNING)
	refused(t, e.complete(t, id, 1, failed), codes.Aborted, leaseLost)
	if err := e.complete(t, id, 0, failed); err != nil {
		t.Fatal(err)
	}
	looks(t, e.get(t, id), "COMPLETED FAILED, epoch 0, attempt 0")
}

func cancel(t *testing.T, e *exercise) {
	ask := func(id int64, reason string) *operationsv1.Run {
		resp, err := e.Runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: id, Reason: reason})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetRun()
	}
	looks(t, ask(e.started(t, "a"), "x"), "COMPLETED CANCELLED, epoch 0, attempt 0")
	r := e.begun(t, "b")
	looks(t, ask(r.GetId(), "first"), "RUNNING PENDING, epoch 1, attempt 1")
	if again := ask(r.GetId(), "second"); again.GetCancelReason() != "first" {
		t.Errorf("the second request replaced the first: %q", again.GetCancelReason())
	}
	if err := e.complete(t, r.GetId(), 1, succeeded); err != nil {
		t.Errorf("a run that was done before it stopped: %v", err)
	}
	looks(t, ask(r.GetId(), "too late"), "COMPLETED SUCCEEDED, epoch 1, attempt 1")
}

func reap(t *testing.T, e *exercise) {
	r := e.begun(t, "a")
	e.Reap(t)
	looks(t, e.get(t, r.GetId()), "RUNNING PENDING, epoch 1, attempt 1")
	for attempt := range 2 {
		e.Expire(t, r.GetId())
		e.Reap(t)
		looks(t, e.get(t, r.GetId()), fmt.Sprintf("QUEUED PENDING, epoch %d, attempt %d", 2*attempt+2, attempt+1))
		if _, err := e.begin(t, r.GetId(), fmt.Sprint("holder ", attempt)); err != nil {
			t.Fatal(err)
		}
	}
	e.Expire(t, r.GetId())
	e.Reap(t)
	looks(t, e.get(t, r.GetId()), "COMPLETED FAILED, epoch 5, attempt 3")
	stopping := e.begun(t, "b")
	if _, err := e.Runs.CancelRun(t.Context(), &operationsv1.CancelRunRequest{RunId: stopping.GetId()}); err != nil {
		t.Fatal(err)
	}
	e.Expire(t, stopping.GetId())
	e.Reap(t)
	looks(t, e.get(t, stopping.GetId()), "COMPLETED CANCELLED, epoch 1, attempt 1")
}

func dispatchable(t *testing.T, e *exercise) {
	want := map[int64]int64{} // the epoch of each run that waits
	for i := range 5 {
		want[e.started(t, fmt.Sprint("a", i))] = 0
	}
	e.begun(t, "b")
	given := e.begun(t, "c")
	if _, err := e.Runs.ReleaseRun(t.Context(), &operationsv1.ReleaseRunRequest{RunId: given.GetId(), LeaseEpoch: 1}); err != nil {
		t.Fatal(err)
	}
	want[given.GetId()] = 2
	got := map[int64]int64{}
	for req := (&operationsv1.ListDispatchableRunsRequest{Types: []string{Type}, PageSize: 2}); ; {
		resp, err := e.Runs.ListDispatchableRuns(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.GetRuns() {
			got[r.GetRunId()] = r.GetLeaseEpoch()
		}
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("dispatchable are %v, want %v", got, want)
	}
}
