package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	statusv1 "google.golang.org/genproto/googleapis/rpc/status"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

// A batch is many calls made together. Each is checked as a call of its own would
// be; those that are sound go to the store at once; each place of the response says
// what became of its call. The calls are listed in one of two ways:
//
//   - requests, of a caller that fans out. All is done for each, however long it
//     takes, and runs are shown as lists show them.
//   - entries, the calls of many callers that a client collected. What would keep
//     the others waiting is not done but left to a call of its own ("alone"), and
//     responses are those of the calls for one.

// call is one call of a batch, from its request to its response.
type call[Q proto.Message, R any] struct {
	*rpc.Entry
	request  Q
	response R
	err      error
}

// entry is what the entries of all batches have in common.
type entry[Q proto.Message] interface {
	GetRequest() Q
	GetHeaders() *operationsv1.EntryHeaders
}

// begin begins the calls of a batch, which has either requests or entries.
func begin[R any, Q proto.Message, E entry[Q]](ctx context.Context, method string, requests []Q, entries []E) []*call[Q, R] {
	calls := make([]*call[Q, R], 0, len(requests)+len(entries))
	for _, req := range requests {
		calls = append(calls, &call[Q, R]{Entry: rpc.BeginEntry(ctx, method, nil), request: req})
	}
	for _, e := range entries {
		h := e.GetHeaders()
		calls = append(calls, &call[Q, R]{request: e.GetRequest(), Entry: rpc.BeginEntry(ctx, method, &rpc.Headers{
			ActorToken: h.GetActorToken(), Traceparent: h.GetTraceparent(), Timeout: timeout(h),
		})})
	}
	return calls
}

// timeout returns how much time the entry's caller has left, or 0 if the entry does not
// have that. If no time is left it returns a nanosecond, since 0 means no limit.
func timeout(h *operationsv1.EntryHeaders) time.Duration {
	if h.GetTimeout() == nil {
		return 0
	}
	return max(h.GetTimeout().AsDuration(), 1)
}

// do makes calls: those that are sound, as ready turns them into what the store is
// asked, go to ask at once.
func do[Q proto.Message, R, A, S any](calls []*call[Q, R], ready func(context.Context, Q) (A, error), ask func([]A) ([]S, []error), show func(Q, S) (R, error)) {
	var asks []A
	var asking []*call[Q, R]
	for _, c := range calls {
		c.err = c.Do(func() error {
			if err := c.Check(c.request); err != nil {
				return err
			}
			a, err := ready(c.Context(), c.request)
			if err == nil {
				asks, asking = append(asks, a), append(asking, c)
			}
			return err
		})
	}
	answers, refused := ask(asks)
	for n, c := range asking {
		if c.err = refused[n]; c.err == nil {
			c.err = c.Do(func() (err error) { c.response, err = show(c.request, answers[n]); return err })
		}
	}
}

// end ends the call and returns whether its caller has to make it alone, or why it is
// refused. It returns neither if the call has a response.
func (c *call[Q, R]) end() (alone bool, refusal *statusv1.Status) {
	if errors.Is(c.err, store.ErrAlone) {
		return true, c.End(nil)
	}
	return false, c.End(c.err)
}

func (w *writer) BatchStartRuns(ctx context.Context, req *operationsv1.BatchStartRunsRequest) (*operationsv1.BatchStartRunsResponse, error) {
	calls := begin[*operationsv1.StartRunResponse](ctx, "StartRun", req.Requests, req.Entries)
	start := w.store.StartBatch
	if len(req.Entries) > 0 {
		start = w.store.StartTogether
	}
	ask := func(asks []run.Start) ([]store.StartResult, []error) { return start(ctx, asks) }
	do(calls, w.start, ask, func(_ *operationsv1.StartRunRequest, s store.StartResult) (*operationsv1.StartRunResponse, error) {
		return &operationsv1.StartRunResponse{Run: basic(s.Run), Started: s.Started, Replayed: s.Replayed}, nil
	})
	results := make([]*operationsv1.StartRunResult, len(calls))
	for i, c := range calls {
		results[i] = &operationsv1.StartRunResult{}
		switch alone, refusal := c.end(); {
		case alone:
			results[i].Result = &operationsv1.StartRunResult_Alone{Alone: true}
		case refusal != nil:
			results[i].Result = &operationsv1.StartRunResult_Error{Error: refusal}
		default:
			results[i].Result = &operationsv1.StartRunResult_Response{Response: c.response}
		}
	}
	return &operationsv1.BatchStartRunsResponse{Results: results}, nil
}

func (w *writer) BatchReportProgress(ctx context.Context, req *operationsv1.BatchReportProgressRequest) (*operationsv1.BatchReportProgressResponse, error) {
	calls := begin[*operationsv1.ReportProgressResponse](ctx, "ReportProgress", req.Requests, req.Entries)
	report := w.store.ProgressBatch
	if len(req.Entries) > 0 {
		report = w.store.ProgressTogether
	}
	ready := func(ctx context.Context, req *operationsv1.ReportProgressRequest) (store.Report, error) {
		return store.Report{RunID: req.RunId, Epoch: req.LeaseEpoch, Counts: req.SummaryCounts}, authorizeMove(ctx, w.store, req.RunId)
	}
	ask := func(asks []store.Report) ([]store.Heartbeat, []error) {
		return report(ctx, rpc.CallerFrom(ctx).Service, asks)
	}
	do(calls, ready, ask, func(_ *operationsv1.ReportProgressRequest, h store.Heartbeat) (*operationsv1.ReportProgressResponse, error) {
		return progressProto(h), nil
	})
	results := make([]*operationsv1.ReportProgressResult, len(calls))
	for i, c := range calls {
		results[i] = &operationsv1.ReportProgressResult{}
		switch alone, refusal := c.end(); {
		case alone:
			results[i].Result = &operationsv1.ReportProgressResult_Alone{Alone: true}
		case refusal != nil:
			results[i].Result = &operationsv1.ReportProgressResult_Error{Error: refusal}
		default:
			results[i].Result = &operationsv1.ReportProgressResult_Response{Response: c.response}
		}
	}
	return &operationsv1.BatchReportProgressResponse{Results: results}, nil
}

func (w *writer) BatchCompleteRuns(ctx context.Context, req *operationsv1.BatchCompleteRunsRequest) (*operationsv1.BatchCompleteRunsResponse, error) {
	calls := begin[*operationsv1.CompleteRunResponse](ctx, "CompleteRun", req.Requests, req.Entries)
	complete, show := w.store.CompleteBatch, endedBasic
	if len(req.Entries) > 0 {
		complete, show = w.store.CompleteTogether, endedAsAsked(maxResponses)
	}
	ready := func(ctx context.Context, req *operationsv1.CompleteRunRequest) (store.Completion, error) {
		if err := authorizeMove(ctx, w.store, req.RunId); err != nil {
			return store.Completion{}, err
		}
		c, err := completion(req)
		return store.Completion{RunID: req.RunId, Completion: c}, err
	}
	ask := func(asks []store.Completion) ([]*run.Run, []error) {
		return complete(ctx, rpc.CallerFrom(ctx).Service, asks)
	}
	do(calls, ready, ask, show)
	results := make([]*operationsv1.CompleteRunResult, len(calls))
	for i, c := range calls {
		results[i] = &operationsv1.CompleteRunResult{}
		switch alone, refusal := c.end(); {
		case alone:
			results[i].Result = &operationsv1.CompleteRunResult_Alone{Alone: true}
		case refusal != nil:
			results[i].Result = &operationsv1.CompleteRunResult_Error{Error: refusal}
		default:
			results[i].Result = &operationsv1.CompleteRunResult_Response{Response: c.response}
		}
	}
	return &operationsv1.BatchCompleteRunsResponse{Results: results}, nil
}

func endedBasic(_ *operationsv1.CompleteRunRequest, r *run.Run) (*operationsv1.CompleteRunResponse, error) {
	return &operationsv1.CompleteRunResponse{Run: basic(r)}, nil
}

// maxResponses bounds what the whole responses of a batch take. Clients take 64 MiB
// for a message.
const maxResponses = 16 << 20

// endedAsAsked shows ended runs as their calls ask, as long as there is room for
// them. The others have ended as well: completing them again changes nothing and
// returns them.
func endedAsAsked(room int) func(*operationsv1.CompleteRunRequest, *run.Run) (*operationsv1.CompleteRunResponse, error) {
	return func(req *operationsv1.CompleteRunRequest, r *run.Run) (*operationsv1.CompleteRunResponse, error) {
		resp := ended(req, r)
		if req.View != operationsv1.RunView_RUN_VIEW_BASIC { // those have no large parts
			room -= proto.Size(resp)
		}
		if room < 0 {
			return nil, store.ErrAlone
		}
		return resp, nil
	}
}

func progressProto(h store.Heartbeat) *operationsv1.ReportProgressResponse {
	return &operationsv1.ReportProgressResponse{
		LeaseExpireTime: timestamppb.New(h.ExpiresAt), CancelRequested: h.CancelRequested, CancelReason: h.CancelReason,
	}
}
