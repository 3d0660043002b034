// Package collect is the client of the run store that services use: it collects the
// calls that a process makes at the same time into batch calls. It does not repeat
// calls or make deadlines of its own: pkg/rpc does.
package collect

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// Client is the run store for the callers of one process. StartRun, ReportProgress
// and CompleteRun calls that are made at the same time go to the store in one batch
// call. No caller sees a difference: each gets the response or error that its own
// call would get, at its own deadline, for its own end user and in its own trace. A
// call that is alone is sent at once, unchanged. So is a call of any other method, and
// a call with call options.
//
// A process needs one Client for a connection: calls of two Clients are not collected
// together.
type Client struct {
	operationsv1.RunServiceClient

	starts    *collector[*operationsv1.StartRunRequest, *operationsv1.StartRunResponse, *operationsv1.StartRunResult]
	reports   *collector[*operationsv1.ReportProgressRequest, *operationsv1.ReportProgressResponse, *operationsv1.ReportProgressResult]
	completes *collector[*operationsv1.CompleteRunRequest, *operationsv1.CompleteRunResponse, *operationsv1.CompleteRunResult]
}

// New returns a client of the run store at the other end of conn.
func New(conn grpc.ClientConnInterface) *Client {
	c := &Client{RunServiceClient: operationsv1.NewRunServiceClient(conn)}
	c.starts = newCollector(c.startAlone, c.startMany, startEntry)
	c.starts.repeatable = func(req *operationsv1.StartRunRequest) bool { return req.GetRequestId() != "" }
	c.starts.complete = addContext
	c.reports = newCollector(c.reportAlone, c.reportMany, reportEntry)
	c.completes = newCollector(c.completeAlone, c.completeMany, completeEntry)
	return c
}

// StartRun starts a run, in a batch with other calls if there are any.
func (c *Client) StartRun(ctx context.Context, req *operationsv1.StartRunRequest, opts ...grpc.CallOption) (*operationsv1.StartRunResponse, error) {
	if len(opts) > 0 {
		return c.RunServiceClient.StartRun(ctx, req, opts...)
	}
	return c.starts.call(ctx, req)
}

// ReportProgress reports the progress of a run, in a batch with other calls if there are any.
func (c *Client) ReportProgress(ctx context.Context, req *operationsv1.ReportProgressRequest, opts ...grpc.CallOption) (*operationsv1.ReportProgressResponse, error) {
	if len(opts) > 0 {
		return c.RunServiceClient.ReportProgress(ctx, req, opts...)
	}
	return c.reports.call(ctx, req)
}

// CompleteRun completes a run, in a batch with other calls if there are any.
func (c *Client) CompleteRun(ctx context.Context, req *operationsv1.CompleteRunRequest, opts ...grpc.CallOption) (*operationsv1.CompleteRunResponse, error) {
	if len(opts) > 0 {
		return c.RunServiceClient.CompleteRun(ctx, req, opts...)
	}
	return c.completes.call(ctx, req)
}

func (c *Client) startAlone(ctx context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	return c.RunServiceClient.StartRun(ctx, req)
}

// startMany sends entries that are encoded already: their size decides what fits into the
// batch, and one that cannot be encoded must not fail the others. protobuf writes the
// unknown fields of a message as they are, so the entries go as those. The calls of the
// other two methods do the same.
func (c *Client) startMany(ctx context.Context, entries []byte) ([]*operationsv1.StartRunResult, error) {
	req := &operationsv1.BatchStartRunsRequest{}
	req.ProtoReflect().SetUnknown(entries)
	resp, err := c.BatchStartRuns(ctx, req)
	return resp.GetResults(), err
}

func startEntry(req *operationsv1.StartRunRequest, h *operationsv1.EntryHeaders) proto.Message {
	return &operationsv1.StartRunEntry{Request: req, Headers: h}
}

// addContext adds the context of a new run, which the response to an entry leaves out
// because the caller has sent it.
func addContext(req *operationsv1.StartRunRequest, resp *operationsv1.StartRunResponse) {
	resp.GetRun().Context = copyObject(req.GetContext())
}

// copyObject copies free-form JSON in a third of the time that proto.CloneOf takes.
// Every start makes a copy.
func copyObject(s *structpb.Struct) *structpb.Struct {
	c := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(s.GetFields()))}
	for key, value := range s.GetFields() {
		c.Fields[key] = copyValue(value)
	}
	return c
}

func copyValue(v *structpb.Value) *structpb.Value {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return structpb.NewStringValue(k.StringValue)
	case *structpb.Value_NumberValue:
		return structpb.NewNumberValue(k.NumberValue)
	case *structpb.Value_BoolValue:
		return structpb.NewBoolValue(k.BoolValue)
	case *structpb.Value_NullValue:
		return structpb.NewNullValue()
	case *structpb.Value_StructValue:
		return structpb.NewStructValue(copyObject(k.StructValue))
	case *structpb.Value_ListValue:
		list := &structpb.ListValue{Values: make([]*structpb.Value, 0, len(k.ListValue.GetValues()))}
		for _, value := range k.ListValue.GetValues() {
			list.Values = append(list.Values, copyValue(value))
		}
		return structpb.NewListValue(list)
	}
	return &structpb.Value{}
}

func (c *Client) reportAlone(ctx context.Context, req *operationsv1.ReportProgressRequest) (*operationsv1.ReportProgressResponse, error) {
	return c.RunServiceClient.ReportProgress(ctx, req)
}

func (c *Client) reportMany(ctx context.Context, entries []byte) ([]*operationsv1.ReportProgressResult, error) {
	req := &operationsv1.BatchReportProgressRequest{}
	req.ProtoReflect().SetUnknown(entries)
	resp, err := c.BatchReportProgress(ctx, req)
	return resp.GetResults(), err
}

func reportEntry(req *operationsv1.ReportProgressRequest, h *operationsv1.EntryHeaders) proto.Message {
	return &operationsv1.ReportProgressEntry{Request: req, Headers: h}
}

func (c *Client) completeAlone(ctx context.Context, req *operationsv1.CompleteRunRequest) (*operationsv1.CompleteRunResponse, error) {
	return c.RunServiceClient.CompleteRun(ctx, req)
}

func (c *Client) completeMany(ctx context.Context, entries []byte) ([]*operationsv1.CompleteRunResult, error) {
	req := &operationsv1.BatchCompleteRunsRequest{}
	req.ProtoReflect().SetUnknown(entries)
	resp, err := c.BatchCompleteRuns(ctx, req)
	return resp.GetResults(), err
}

func completeEntry(req *operationsv1.CompleteRunRequest, h *operationsv1.EntryHeaders) proto.Message {
	return &operationsv1.CompleteRunEntry{Request: req, Headers: h}
}
