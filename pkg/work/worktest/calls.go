package worktest

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// GetRun returns a run to whoever may see it.
func (s *Store) GetRun(ctx context.Context, req *operationsv1.GetRunRequest) (*operationsv1.GetRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(req.GetRunId()).run
	if r == nil {
		return nil, errs.NotFound("run")
	}
	return &operationsv1.GetRunResponse{Run: proto.CloneOf(r)}, rpc.Authorize(ctx, r.GetWorkspaceId())
}

// BeginRun leases a run that is queued, or whose lease has ended.
func (s *Store) BeginRun(ctx context.Context, req *operationsv1.BeginRunRequest) (*operationsv1.BeginRunResponse, error) {
	r, err := s.begin(req)
	if err != nil {
		return nil, err
	}
	s.wait(ctx)
	return &operationsv1.BeginRunResponse{Run: r}, nil
}

func (s *Store) begin(req *operationsv1.BeginRunRequest) (*operationsv1.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	r := s.find(req.GetRunId())
	switch {
	case r.run == nil:
		return nil, errs.NotFound("run")
	case r.run.GetStatus() == completed:
		return nil, runCompleted(r)
	case r.run.GetStatus() == running && r.run.GetLeaseHolder() == req.GetHolder():
		r.run.LeaseExpireTime = timestamppb.New(s.now().Add(s.opts.Lease))
		return proto.CloneOf(r.run), nil
	case r.run.GetStatus() == running && !s.expired(r):
		return nil, refuse(errs.Aborted, operationsv1.RunReason_RUN_REASON_LEASE_HELD, r.run.GetId())
	case r.run.GetStatus() == running && s.endExpired(r):
		return nil, runCompleted(r)
	}
	s.lease(r, req.GetHolder())
	return proto.CloneOf(r.run), nil
}

// ReportProgress extends a lease.
func (s *Store) ReportProgress(_ context.Context, req *operationsv1.ReportProgressRequest) (*operationsv1.ReportProgressResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	r, err := s.held(req.GetRunId(), req.GetLeaseEpoch())
	if err != nil {
		return nil, err
	}
	if len(req.GetSummaryCounts()) > 0 {
		r.run.SummaryCounts = req.GetSummaryCounts()
	}
	r.run.LeaseExpireTime = timestamppb.New(s.now().Add(s.opts.Lease))
	return &operationsv1.ReportProgressResponse{
		LeaseExpireTime: r.run.GetLeaseExpireTime(), CancelRequested: r.run.GetCancelRequestTime() != nil, CancelReason: r.run.GetCancelReason(),
	}, nil
}

// ReleaseRun gives a run back to the queue.
func (s *Store) ReleaseRun(_ context.Context, req *operationsv1.ReleaseRunRequest) (*operationsv1.ReleaseRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	if r := s.find(req.GetRunId()); r.run.GetStatus() == queued && r.released != 0 && r.released == req.GetLeaseEpoch() {
		return &operationsv1.ReleaseRunResponse{Run: proto.CloneOf(r.run)}, nil
	}
	r, err := s.held(req.GetRunId(), req.GetLeaseEpoch())
	switch {
	case err != nil:
		return nil, err
	case r.run.GetCancelRequestTime() != nil:
		s.end(r, cancelled)
	default:
		s.requeue(r)
		r.run.Attempt--
		r.released = req.GetLeaseEpoch()
	}
	return &operationsv1.ReleaseRunResponse{Run: proto.CloneOf(r.run)}, nil
}

// CompleteRun ends a run. Its owner may also end one that is queued, as failed or
// cancelled.
func (s *Store) CompleteRun(_ context.Context, req *operationsv1.CompleteRunRequest) (*operationsv1.CompleteRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	r := s.find(req.GetRunId())
	switch {
	case s.away:
		return nil, errs.Unavailable("AWAY", "operations is away")
	case r.run == nil:
		return nil, errs.NotFound("run")
	case r.run.GetStatus() == completed && sameEnd(r.end, req):
	case r.run.GetStatus() == completed:
		return nil, runCompleted(r)
	case r.run.GetLeaseEpoch() != req.GetLeaseEpoch():
		return nil, refuse(errs.Aborted, operationsv1.RunReason_RUN_REASON_LEASE_LOST, r.run.GetId())
	case r.run.GetStatus() == queued && req.GetOutcome() != failed && req.GetOutcome() != cancelled:
		return nil, refuse(errs.Conflict, operationsv1.RunReason_RUN_REASON_RUN_NOT_RUNNING, r.run.GetId())
	default:
		s.end(r, req.GetOutcome())
		r.end, r.run.FailureSummary = proto.CloneOf(req), req.GetFailureSummary()
		if len(req.GetSummaryCounts()) > 0 {
			r.run.SummaryCounts = req.GetSummaryCounts()
		}
	}
	ended := proto.CloneOf(r.run)
	if req.GetView() == operationsv1.RunView_RUN_VIEW_BASIC {
		ended.Context, ended.FailureSummary = nil, nil
	}
	return &operationsv1.CompleteRunResponse{Run: ended}, nil
}

// sameEnd reports whether a completion repeats the one that ended the run. Its
// epoch does not count, nor what its response shows.
func sameEnd(ended, again *operationsv1.CompleteRunRequest) bool {
	if ended == nil {
		return false
	}
	again = proto.CloneOf(again)
	again.LeaseEpoch, again.View = ended.GetLeaseEpoch(), ended.GetView()
	return proto.Equal(ended, again)
}

// CancelRun ends a queued run and asks a running one to stop.
func (s *Store) CancelRun(_ context.Context, req *operationsv1.CancelRunRequest) (*operationsv1.CancelRunResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	r := s.find(req.GetRunId())
	if r.run == nil {
		return nil, errs.NotFound("run")
	}
	s.requestCancel(r, req.GetReason())
	return &operationsv1.CancelRunResponse{Run: proto.CloneOf(r.run)}, nil
}

func (s *Store) requestCancel(r *record, reason string) {
	if r.run.GetStatus() == completed || r.run.GetCancelRequestTime() != nil {
		return
	}
	r.run.CancelRequestTime, r.run.CancelReason = timestamppb.New(s.now()), reason
	if r.run.GetStatus() == queued {
		s.end(r, cancelled)
	}
	s.stamp(r)
}

// ListDispatchableRuns returns queued runs by id, a page at a time.
func (s *Store) ListDispatchableRuns(_ context.Context, req *operationsv1.ListDispatchableRunsRequest) (*operationsv1.ListDispatchableRunsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var after int64
	if req.GetPageToken() != "" {
		if _, err := fmt.Sscan(req.GetPageToken(), &after); err != nil {
			return nil, errs.Invalid("page_token", "is not one of ours")
		}
	}
	resp := &operationsv1.ListDispatchableRunsResponse{}
	for _, r := range s.runs {
		if r.run.GetId() <= after || r.run.GetStatus() != queued || !slices.Contains(req.GetTypes(), r.run.GetType()) {
			continue
		}
		if n := len(resp.GetRuns()); n == s.opts.PageSize {
			resp.NextPageToken = fmt.Sprint(resp.GetRuns()[n-1].GetRunId())
			break
		}
		resp.Runs = append(resp.Runs, &operationsv1.DispatchableRun{
			RunId: r.run.GetId(), LeaseEpoch: r.run.GetLeaseEpoch(), Type: r.run.GetType(),
			WorkspaceId: r.run.GetWorkspaceId(), TenantId: r.run.GetTenantId(),
		})
	}
	return resp, nil
}
