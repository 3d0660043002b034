package worktest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// StartRun creates a run, returns the active one of the same identity, or repeats
// what it returned for the request id.
func (s *Store) StartRun(_ context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	s.requests = append(s.requests, req)
	if before, ok := s.known[requestKey(req)]; ok && req.GetRequestId() != "" {
		if !proto.Equal(before.request, req) {
			return nil, errs.Invalid("request_id", "was used before for another request (run %d)", before.id).
				WithReason(errs.Word(operationsv1.RunReason_RUN_REASON_REQUEST_ID_REUSED))
		}
		return &operationsv1.StartRunResponse{Run: proto.CloneOf(s.find(before.id).run), Started: before.started, Replayed: true}, nil
	}
	number, err := s.retryNumber(req)
	if err != nil {
		return nil, err
	}
	r, err := s.twin(req)
	if err != nil {
		return nil, err
	}
	started := r == nil
	if started {
		if err := s.room(req); err != nil {
			return nil, err
		}
		r = s.create(req, number)
	}
	if req.GetRequestId() != "" {
		s.known[requestKey(req)] = answer{request: proto.CloneOf(req), id: r.run.GetId(), started: started}
	}
	return &operationsv1.StartRunResponse{Run: proto.CloneOf(r.run), Started: started}, nil
}

func requestKey(req *operationsv1.StartRunRequest) string {
	return fmt.Sprint(req.GetWorkspaceId(), " ", req.GetRequestId())
}

func identity(req *operationsv1.StartRunRequest) string {
	tenant := ""
	if req.TenantId != nil {
		tenant = strconv.FormatInt(req.GetTenantId(), 10)
	}
	sum := sha256.Sum256([]byte(tenant + "|" + req.GetType() + "|" + req.GetIdentityInputs()))
	return hex.EncodeToString(sum[:])
}

// twin returns the active run of the same identity, nil when there is none or the
// policy ended it.
func (s *Store) twin(req *operationsv1.StartRunRequest) (*record, error) {
	var r *record
	for _, other := range s.runs {
		if other.run.GetStatus() != completed && other.run.GetWorkspaceId() == req.GetWorkspaceId() && other.run.GetRunIdentityHash() == identity(req) {
			r = other
		}
	}
	if r == nil {
		return nil, nil
	}
	active := errs.Aborted(errs.Word(operationsv1.RunReason_RUN_REASON_RUN_ALREADY_ACTIVE), "run %d of the same work is active", r.run.GetId()).
		With("run_id", strconv.FormatInt(r.run.GetId(), 10))
	switch req.GetConflictPolicy() {
	case operationsv1.ConflictPolicy_CONFLICT_POLICY_FAIL:
		return nil, active
	case operationsv1.ConflictPolicy_CONFLICT_POLICY_CANCEL_EXISTING:
		if r.run.GetStatus() == running && !s.expired(r) {
			s.requestCancel(r, "superseded by a newer start")
			return nil, active.RetryIn(time.Second)
		}
		s.end(r, cancelled, &operationsv1.Failure{Reason: operationsv1.FailureReason_FAILURE_REASON_SUPERSEDED})
		return nil, nil
	}
	return r, nil
}

// room refuses a run that would have to wait where too many wait already.
func (s *Store) room(req *operationsv1.StartRunRequest) error {
	if s.opts.MaxQueued == 0 || req.GetHolder() != "" {
		return nil
	}
	n := 0
	for _, r := range s.runs {
		if r.run.GetStatus() == queued && r.run.GetWorkspaceId() == req.GetWorkspaceId() {
			n++
		}
	}
	if n < s.opts.MaxQueued {
		return nil
	}
	return errs.Exhausted(errs.Word(operationsv1.RunReason_RUN_REASON_RUN_QUEUE_FULL), time.Minute, "%d runs are queued", n)
}

// retryNumber returns how many runs of the chain of retries are before the new run.
func (s *Store) retryNumber(req *operationsv1.StartRunRequest) (int32, error) {
	if req.RetryOf == nil {
		return 0, nil
	}
	original := s.find(req.GetRetryOf()).run
	switch {
	case original == nil, original.GetWorkspaceId() != req.GetWorkspaceId():
		return 0, errs.Invalid("retry_of", "there is no run %d in workspace %d", req.GetRetryOf(), req.GetWorkspaceId())
	case original.GetRunIdentityHash() != identity(req):
		return 0, errs.Invalid("retry_of", "is other work")
	case original.GetStatus() != completed:
		return 0, errs.Invalid("retry_of", "has not ended yet")
	}
	return original.GetRetryNumber() + 1, nil
}

func (s *Store) create(req *operationsv1.StartRunRequest, number int32) *record {
	now := timestamppb.New(s.now())
	r := &record{run: &operationsv1.Run{
		Id: int64(len(s.runs)) + 1, WorkspaceId: req.GetWorkspaceId(), TenantId: req.TenantId, UserId: req.UserId,
		InitiatorName: req.GetInitiatorName(), Type: req.GetType(), Context: proto.CloneOf(req.GetContext()),
		RunIdentityHash: identity(req), Status: queued, Outcome: pending, MaxAttempts: s.opts.MaxAttempts,
		RetryOf: req.RetryOf, RetryNumber: number, ParentRunId: req.ParentRunId,
		CreateTime: now, UpdateTime: now, Origin: operationsv1.RunOrigin_RUN_ORIGIN_LIVE,
	}}
	s.runs = append(s.runs, r)
	if req.GetHolder() != "" {
		s.lease(r, req.GetHolder())
	} else {
		r.run.QueueTime = now
	}
	return r
}
