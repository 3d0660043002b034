package work

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

const (
	queued    = operationsv1.RunStatus_RUN_STATUS_QUEUED
	running   = operationsv1.RunStatus_RUN_STATUS_RUNNING
	completed = operationsv1.RunStatus_RUN_STATUS_COMPLETED
	pending   = operationsv1.RunOutcome_RUN_OUTCOME_PENDING
	partially = operationsv1.RunOutcome_RUN_OUTCOME_PARTIALLY_SUCCEEDED
)

// store is a small run store in memory: the transition table, and a clock that
// tests push forward.
type store struct {
	operationsv1.UnimplementedRunServiceServer
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change
	lease   time.Duration
	skew    time.Duration
	last    int64
	runs    map[int64]*operationsv1.Run
	ended   map[int64]*operationsv1.CompleteRunRequest
	begins  map[int64]int
	away    bool          // heartbeats and completions are refused as Unavailable
	answer  chan struct{} // if there, begins are answered when it closes
}

func newStore() *store {
	return &store{
		changed: make(chan struct{}),
		lease:   20 * time.Second,
		runs:    map[int64]*operationsv1.Run{},
		ended:   map[int64]*operationsv1.CompleteRunRequest{},
		begins:  map[int64]int{},
	}
}

// change runs f under the lock and wakes those who wait.
func (s *store) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) now() time.Time { return time.Now().Add(s.skew) }

// add puts a queued run there without anybody writing a slip.
func (s *store) add(typ string) int64 {
	var id int64
	s.change(func() { id = s.put(&operationsv1.StartRunRequest{WorkspaceId: 1, Type: typ}).GetId() })
	return id
}

func (s *store) put(req *operationsv1.StartRunRequest) *operationsv1.Run {
	s.last++
	s.runs[s.last] = &operationsv1.Run{
		Id: s.last, WorkspaceId: req.GetWorkspaceId(), TenantId: req.TenantId, Type: req.GetType(), Context: req.GetContext(),
		Status: queued, Outcome: pending, MaxAttempts: 3, UpdateTime: timestamppb.New(s.now()),
	}
	return s.runs[s.last]
}

func (s *store) get(id int64) *operationsv1.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return proto.CloneOf(s.runs[id])
}

// until waits for a run to look as asked for.
func (s *store) until(t *testing.T, id int64, what string, ok func(*operationsv1.Run) bool) *operationsv1.Run {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		r, changed := proto.CloneOf(s.runs[id]), s.changed
		s.mu.Unlock()
		if ok(r) {
			return r
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("run %d is never %s: %v", id, what, r)
		}
	}
}

func (s *store) untilCompleted(t *testing.T, id int64) *operationsv1.Run {
	t.Helper()
	return s.until(t, id, "completed", func(r *operationsv1.Run) bool { return r.GetStatus() == completed })
}

func (s *store) untilInProgress(t *testing.T, id int64) {
	t.Helper()
	s.until(t, id, "in progress", func(r *operationsv1.Run) bool { return r.GetSummaryCounts()["processed"] == 1 })
}

// expire lets every lease end, and requeues its run as the reaper does.
func (s *store) expire() {
	s.change(func() {
		s.skew += s.lease + time.Second
		for _, r := range s.runs {
			if r.GetStatus() == running && r.GetLeaseExpireTime().AsTime().Before(s.now()) {
				s.requeue(r)
			}
		}
	})
}

func (s *store) requeue(r *operationsv1.Run) {
	r.Status, r.LeaseHolder, r.LeaseExpireTime = queued, "", nil
	r.LeaseEpoch++
	r.UpdateTime = timestamppb.New(s.now())
}

func (s *store) StartRun(_ context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	resp := &operationsv1.StartRunResponse{Started: true}
	s.change(func() { resp.Run = proto.CloneOf(s.put(req)) })
	return resp, nil
}

func (s *store) BeginRun(ctx context.Context, req *operationsv1.BeginRunRequest) (_ *operationsv1.BeginRunResponse, err error) {
	resp := &operationsv1.BeginRunResponse{}
	s.change(func() {
		r := s.runs[req.GetRunId()]
		switch {
		case r == nil:
			err = errs.NotFound("run")
			return
		case r.GetStatus() == completed:
			err = errs.Conflict("RUN_COMPLETED", "run %d ended", r.GetId())
			return
		case r.GetStatus() == running && r.GetLeaseHolder() != req.GetHolder():
			err = errs.Aborted("LEASE_HELD", "run %d is held", r.GetId())
			return
		case r.GetStatus() == queued:
			s.begins[r.GetId()]++
			r.Status, r.LeaseHolder = running, req.GetHolder()
			r.LeaseEpoch++
			r.Attempt++
			r.UpdateTime = timestamppb.New(s.now())
			r.LeaseExpireTime = timestamppb.New(s.now().Add(s.lease))
		}
		resp.Run = proto.CloneOf(r)
	})
	if s.answer != nil {
		select {
		case <-s.answer:
		case <-ctx.Done():
		}
	}
	return resp, err
}

// held finds a run under its lease.
func (s *store) held(id, epoch int64) (*operationsv1.Run, error) {
	r := s.runs[id]
	switch {
	case s.away:
		return nil, errs.Unavailable("AWAY", "operations is away")
	case r == nil:
		return nil, errs.NotFound("run")
	case r.GetStatus() == completed:
		return nil, errs.Conflict("RUN_COMPLETED", "run %d ended", id)
	case r.GetLeaseEpoch() != epoch:
		return nil, errs.Aborted("LEASE_LOST", "run %d is not held under epoch %d", id, epoch)
	}
	return r, nil
}

func (s *store) ReportProgress(_ context.Context, req *operationsv1.ReportProgressRequest) (_ *operationsv1.ReportProgressResponse, err error) {
	resp := &operationsv1.ReportProgressResponse{}
	s.change(func() {
		var r *operationsv1.Run
		if r, err = s.held(req.GetRunId(), req.GetLeaseEpoch()); err != nil {
			return
		}
		if len(req.GetSummaryCounts()) > 0 {
			r.SummaryCounts = req.GetSummaryCounts()
		}
		r.LeaseExpireTime = timestamppb.New(s.now().Add(s.lease))
		resp.LeaseExpireTime, resp.CancelRequested = r.GetLeaseExpireTime(), r.GetCancelRequestTime() != nil
	})
	return resp, err
}

func (s *store) ReleaseRun(_ context.Context, req *operationsv1.ReleaseRunRequest) (_ *operationsv1.ReleaseRunResponse, err error) {
	resp := &operationsv1.ReleaseRunResponse{}
	s.change(func() {
		r := s.runs[req.GetRunId()]
		if again := r.GetStatus() == queued && r.GetLeaseEpoch() == req.GetLeaseEpoch()+1; !again {
			if r, err = s.held(req.GetRunId(), req.GetLeaseEpoch()); err != nil {
				return
			}
			s.requeue(r)
			r.Attempt--
		}
		resp.Run = proto.CloneOf(r)
	})
	return resp, err
}

func (s *store) CompleteRun(_ context.Context, req *operationsv1.CompleteRunRequest) (_ *operationsv1.CompleteRunResponse, err error) {
	resp := &operationsv1.CompleteRunResponse{}
	s.change(func() {
		r := s.runs[req.GetRunId()]
		if !proto.Equal(s.ended[req.GetRunId()], req) {
			if r, err = s.held(req.GetRunId(), req.GetLeaseEpoch()); err != nil {
				return
			}
			s.ended[r.GetId()] = req
			r.Status, r.Outcome = completed, req.GetOutcome()
			r.SummaryCounts, r.FailureSummary = req.GetSummaryCounts(), req.GetFailureSummary()
		}
		resp.Run = proto.CloneOf(r)
	})
	return resp, err
}

func (s *store) CancelRun(_ context.Context, req *operationsv1.CancelRunRequest) (*operationsv1.CancelRunResponse, error) {
	resp := &operationsv1.CancelRunResponse{}
	s.change(func() {
		r := s.runs[req.GetRunId()]
		r.CancelRequestTime = timestamppb.New(s.now())
		resp.Run = proto.CloneOf(r)
	})
	return resp, nil
}

// ListDispatchableRuns answers two runs a page, by id.
func (s *store) ListDispatchableRuns(_ context.Context, req *operationsv1.ListDispatchableRunsRequest) (*operationsv1.ListDispatchableRunsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var after int64
	if req.GetPageToken() != "" {
		if _, err := fmt.Sscan(req.GetPageToken(), &after); err != nil {
			return nil, errs.Invalid("page_token", "is not one of ours")
		}
	}
	resp := &operationsv1.ListDispatchableRunsResponse{}
	for id := after + 1; id <= s.last; id++ {
		r := s.runs[id]
		if r.GetStatus() != queued || !slices.Contains(req.GetTypes(), r.GetType()) {
			continue
		}
		if len(resp.GetRuns()) == 2 {
			resp.NextPageToken = fmt.Sprint(resp.GetRuns()[1].GetRunId())
			break
		}
		resp.Runs = append(resp.Runs, &operationsv1.DispatchableRun{RunId: id, LeaseEpoch: r.GetLeaseEpoch(), Type: r.GetType()})
	}
	return resp, nil
}
