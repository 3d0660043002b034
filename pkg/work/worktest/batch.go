package worktest

import (
	"context"

	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tenantpilot/tenantpilot/pkg/rpc"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// entry is what the entries of all batches have in common.
type entry[Q any] interface {
	GetRequest() Q
	GetHeaders() *operationsv1.EntryHeaders
}

// one makes the call of an entry, as operations does.
func one[Q, R proto.Message](ctx context.Context, method string, from entry[Q], call func(context.Context, Q) (R, error)) (resp R, refusal *statusv1.Status) {
	h := &rpc.Headers{ActorToken: from.GetHeaders().GetActorToken(), Traceparent: from.GetHeaders().GetTraceparent()}
	if from.GetHeaders().GetTimeout() != nil {
		h.Timeout = max(from.GetHeaders().GetTimeout().AsDuration(), 1)
	}
	e := rpc.BeginEntry(ctx, method, h)
	err := e.Check(from.GetRequest())
	if err == nil {
		resp, err = call(e.Context(), from.GetRequest())
	}
	return resp, e.End(err)
}

// BatchStartRuns starts the runs of entries.
func (s *Store) BatchStartRuns(ctx context.Context, req *operationsv1.BatchStartRunsRequest) (*operationsv1.BatchStartRunsResponse, error) {
	return Start(ctx, req, s.StartRun)
}

// Start makes a batch of calls to start, for a store that does more than [Store].
func Start(ctx context.Context, req *operationsv1.BatchStartRunsRequest, start func(context.Context, *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error)) (*operationsv1.BatchStartRunsResponse, error) {
	resp := &operationsv1.BatchStartRunsResponse{}
	for _, e := range req.GetEntries() {
		started, refusal := one(ctx, "StartRun", e, start)
		result := &operationsv1.StartRunResult{Result: &operationsv1.StartRunResult_Error{Error: refusal}}
		switch {
		case refusal != nil:
		case !started.GetStarted() || started.GetReplayed():
			result.Result = &operationsv1.StartRunResult_Alone{Alone: true}
		default:
			started.GetRun().Context = nil
			result.Result = &operationsv1.StartRunResult_Response{Response: started}
		}
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}

// BatchReportProgress takes the heartbeats of entries.
func (s *Store) BatchReportProgress(ctx context.Context, req *operationsv1.BatchReportProgressRequest) (*operationsv1.BatchReportProgressResponse, error) {
	resp := &operationsv1.BatchReportProgressResponse{}
	for _, e := range req.GetEntries() {
		reported, refusal := one(ctx, "ReportProgress", e, s.ReportProgress)
		result := &operationsv1.ReportProgressResult{Result: &operationsv1.ReportProgressResult_Error{Error: refusal}}
		if refusal == nil {
			result.Result = &operationsv1.ReportProgressResult_Response{Response: reported}
		}
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}

// BatchCompleteRuns ends the runs of entries.
func (s *Store) BatchCompleteRuns(ctx context.Context, req *operationsv1.BatchCompleteRunsRequest) (*operationsv1.BatchCompleteRunsResponse, error) {
	resp := &operationsv1.BatchCompleteRunsResponse{}
	for _, e := range req.GetEntries() {
		ended, refusal := one(ctx, "CompleteRun", e, s.CompleteRun)
		result := &operationsv1.CompleteRunResult{Result: &operationsv1.CompleteRunResult_Error{Error: refusal}}
		if refusal == nil {
			result.Result = &operationsv1.CompleteRunResult_Response{Response: ended}
		}
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}
