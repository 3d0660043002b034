// Package runtest is an operations service in memory, as far as starting runs
// goes: request ids, at most one active run of an identity, and runs that repeat
// another. It has no leases; what becomes of runs is e2e's.
package runtest

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// Store is the service.
type Store struct {
	operationsv1.UnimplementedRunServiceServer
	operationsv1.UnimplementedRunReaderServiceServer

	mu       sync.Mutex
	requests []*operationsv1.StartRunRequest
	runs     []*operationsv1.Run
	replays  map[string]replay
}

type replay struct {
	request *operationsv1.StartRunRequest
	run     *operationsv1.Run
	started bool
}

// New is an empty one.
func New() *Store { return &Store{replays: map[string]replay{}} }

// StartRun starts a run, or answers the active one, or repeats an answer.
func (s *Store) StartRun(_ context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req)
	key := fmt.Sprint(req.GetWorkspaceId(), req.GetRequestId())
	if before, ok := s.replays[key]; ok && req.GetRequestId() != "" {
		if !proto.Equal(before.request, req) {
			return nil, errs.Invalid("request_id", "was used for another request").WithReason("REQUEST_ID_REUSED")
		}
		return &operationsv1.StartRunResponse{Run: before.run, Started: before.started, Replayed: true}, nil
	}
	number, err := s.retryNumber(req)
	if err != nil {
		return nil, err
	}
	run, started := s.find(req, number)
	s.replays[key] = replay{request: req, run: run, started: started}
	return &operationsv1.StartRunResponse{Run: run, Started: started}, nil
}

// GetRun answers a run to whoever may see it.
func (s *Store) GetRun(ctx context.Context, req *operationsv1.GetRunRequest) (*operationsv1.GetRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.get(req.GetRunId())
	if r == nil {
		return nil, errs.NotFound("run")
	}
	return &operationsv1.GetRunResponse{Run: r}, rpc.Authorize(ctx, r.GetWorkspaceId())
}

func (s *Store) get(id int64) *operationsv1.Run {
	if id < 1 || id > int64(len(s.runs)) {
		return nil
	}
	return s.runs[id-1]
}

func identity(req *operationsv1.StartRunRequest) string {
	return fmt.Sprintf("%d|%s|%s", req.GetTenantId(), req.GetType(), req.GetIdentityInputs())
}

// retryNumber is the place of what is asked for in a chain of retries.
func (s *Store) retryNumber(req *operationsv1.StartRunRequest) (int32, error) {
	if req.RetryOf == nil {
		return 0, nil
	}
	original := s.get(req.GetRetryOf())
	switch {
	case original == nil, original.GetWorkspaceId() != req.GetWorkspaceId():
		return 0, errs.Invalid("retry_of", "there is no run %d in workspace %d", req.GetRetryOf(), req.GetWorkspaceId())
	case original.GetRunIdentityHash() != identity(req):
		return 0, errs.Invalid("retry_of", "is other work")
	case original.GetStatus() != operationsv1.RunStatus_RUN_STATUS_COMPLETED:
		return 0, errs.Invalid("retry_of", "has not ended yet")
	}
	return original.GetRetryNumber() + 1, nil
}

func (s *Store) find(req *operationsv1.StartRunRequest, number int32) (*operationsv1.Run, bool) {
	hash := identity(req)
	for _, r := range s.runs {
		if r.GetWorkspaceId() == req.GetWorkspaceId() && r.GetRunIdentityHash() == hash && r.GetStatus() != operationsv1.RunStatus_RUN_STATUS_COMPLETED {
			return r, false
		}
	}
	r := &operationsv1.Run{
		Id: int64(len(s.runs)) + 1, WorkspaceId: req.GetWorkspaceId(), TenantId: req.TenantId, Type: req.GetType(),
		Status: operationsv1.RunStatus_RUN_STATUS_QUEUED, RunIdentityHash: hash, Context: req.GetContext(),
		RetryOf: req.RetryOf, RetryNumber: number,
	}
	s.runs = append(s.runs, r)
	return r, true
}

// Complete ends every run there is.
func (s *Store) Complete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.runs {
		ended := proto.CloneOf(r)
		ended.Status = operationsv1.RunStatus_RUN_STATUS_COMPLETED
		s.runs[i] = ended
	}
}

// Requests are all that was asked for, in order.
func (s *Store) Requests() []*operationsv1.StartRunRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*operationsv1.StartRunRequest(nil), s.requests...)
}

// Runs is how many runs there are.
func (s *Store) Runs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs)
}
