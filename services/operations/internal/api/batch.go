package api

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// A batch is its elements' calls, made together: each element is checked as the
// call for one would be, those that are sound go to the store at once, and each
// place of the answer says what came of it. Runs are answered as lists show
// them, or a thousand contexts would not fit into one message.

// sift readies each request of a batch as the call for one would, and answers
// what is to be done and for which places; the others are refused.
func sift[Q proto.Message, A any](ctx context.Context, method string, requests []Q, ready func(Q) (A, error), refuse func(int, error)) ([]A, []int) {
	var asks []A
	var places []int
	for i, req := range requests {
		err := rpc.Check(ctx, method, req)
		if err == nil {
			var ask A
			if ask, err = ready(req); err == nil {
				asks, places = append(asks, ask), append(places, i)
				continue
			}
		}
		refuse(i, err)
	}
	return asks, places
}

func (w *writer) BatchStartRuns(ctx context.Context, req *operationsv1.BatchStartRunsRequest) (*operationsv1.BatchStartRunsResponse, error) {
	results := make([]*operationsv1.StartRunResult, len(req.Requests))
	refuse := func(i int, err error) {
		results[i] = &operationsv1.StartRunResult{Result: &operationsv1.StartRunResult_Error{Error: rpc.Refused(ctx, err)}}
	}
	ready := func(req *operationsv1.StartRunRequest) (run.Start, error) { return w.start(ctx, req) }
	asks, places := sift(ctx, "StartRun", req.Requests, ready, refuse)
	started, refused := w.store.StartAll(ctx, asks)
	for n, i := range places {
		if refused[n] != nil {
			refuse(i, refused[n])
			continue
		}
		s := started[n]
		results[i] = &operationsv1.StartRunResult{Result: &operationsv1.StartRunResult_Response{
			Response: &operationsv1.StartRunResponse{Run: basic(s.Run), Started: s.Started, Replayed: s.Replayed},
		}}
	}
	return &operationsv1.BatchStartRunsResponse{Results: results}, nil
}

func (w *writer) BatchReportProgress(ctx context.Context, req *operationsv1.BatchReportProgressRequest) (*operationsv1.BatchReportProgressResponse, error) {
	results := make([]*operationsv1.ReportProgressResult, len(req.Requests))
	refuse := func(i int, err error) {
		results[i] = &operationsv1.ReportProgressResult{Result: &operationsv1.ReportProgressResult_Error{Error: rpc.Refused(ctx, err)}}
	}
	ready := func(req *operationsv1.ReportProgressRequest) (store.Report, error) {
		return store.Report{RunID: req.RunId, Epoch: req.LeaseEpoch, Counts: req.SummaryCounts}, authorizeMove(ctx, w.store, req.RunId)
	}
	asks, places := sift(ctx, "ReportProgress", req.Requests, ready, refuse)
	beats, refused := w.store.ProgressAll(ctx, rpc.CallerFrom(ctx).Service, asks)
	for n, i := range places {
		if refused[n] != nil {
			refuse(i, refused[n])
			continue
		}
		results[i] = &operationsv1.ReportProgressResult{Result: &operationsv1.ReportProgressResult_Response{Response: progressProto(beats[n])}}
	}
	return &operationsv1.BatchReportProgressResponse{Results: results}, nil
}

func (w *writer) BatchCompleteRuns(ctx context.Context, req *operationsv1.BatchCompleteRunsRequest) (*operationsv1.BatchCompleteRunsResponse, error) {
	results := make([]*operationsv1.CompleteRunResult, len(req.Requests))
	refuse := func(i int, err error) {
		results[i] = &operationsv1.CompleteRunResult{Result: &operationsv1.CompleteRunResult_Error{Error: rpc.Refused(ctx, err)}}
	}
	ready := func(req *operationsv1.CompleteRunRequest) (store.Ending, error) {
		if err := authorizeMove(ctx, w.store, req.RunId); err != nil {
			return store.Ending{}, err
		}
		c, err := completion(req)
		return store.Ending{RunID: req.RunId, Completion: c}, err
	}
	asks, places := sift(ctx, "CompleteRun", req.Requests, ready, refuse)
	ended, refused := w.store.CompleteAll(ctx, rpc.CallerFrom(ctx).Service, asks)
	for n, i := range places {
		if refused[n] != nil {
			refuse(i, refused[n])
			continue
		}
		results[i] = &operationsv1.CompleteRunResult{Result: &operationsv1.CompleteRunResult_Response{
			Response: &operationsv1.CompleteRunResponse{Run: basic(ended[n])},
		}}
	}
	return &operationsv1.BatchCompleteRunsResponse{Results: results}, nil
}

func progressProto(h store.Heartbeat) *operationsv1.ReportProgressResponse {
	return &operationsv1.ReportProgressResponse{
		LeaseExpireTime: timestamppb.New(h.ExpiresAt), CancelRequested: h.CancelRequested, CancelReason: h.CancelReason,
	}
}
