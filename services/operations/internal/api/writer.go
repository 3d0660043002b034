package api

import (
	"context"
	"strconv"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

type writer struct {
	operationsv1.UnsafeRunServiceServer

	store *store.Store
	types run.Types
	pages *page.Sealer
}

func (w *writer) StartRun(ctx context.Context, req *operationsv1.StartRunRequest) (*operationsv1.StartRunResponse, error) {
	start, err := w.start(ctx, req)
	if err != nil {
		return nil, err
	}
	started, err := w.store.Start(ctx, start)
	if err != nil {
		return nil, err
	}
	return &operationsv1.StartRunResponse{Run: startedProto(started, req), Started: started.Started, Replayed: started.Replayed}, nil
}

// startedProto returns the run of a response to req. A new run has the context of req,
// which need not be decoded from the database.
func startedProto(s store.StartResult, req *operationsv1.StartRunRequest) *operationsv1.Run {
	if !s.Started || s.Replayed || req.Context == nil {
		return toProto(s.Run)
	}
	p := basic(s.Run)
	p.Context = req.Context
	return p
}

func (w *writer) BeginRun(ctx context.Context, req *operationsv1.BeginRunRequest) (*operationsv1.BeginRunResponse, error) {
	if err := authorizeMove(ctx, w.store, req.RunId); err != nil {
		return nil, err
	}
	r, err := w.store.Begin(ctx, rpc.CallerFrom(ctx).Service, req.RunId, req.Holder)
	if err != nil {
		return nil, err
	}
	return &operationsv1.BeginRunResponse{Run: toProto(r)}, nil
}

func (w *writer) ReportProgress(ctx context.Context, req *operationsv1.ReportProgressRequest) (*operationsv1.ReportProgressResponse, error) {
	if err := authorizeMove(ctx, w.store, req.RunId); err != nil {
		return nil, err
	}
	h, err := w.store.Progress(ctx, rpc.CallerFrom(ctx).Service, req.RunId, req.LeaseEpoch, req.SummaryCounts)
	if err != nil {
		return nil, err
	}
	return progressProto(h), nil
}

func (w *writer) ReleaseRun(ctx context.Context, req *operationsv1.ReleaseRunRequest) (*operationsv1.ReleaseRunResponse, error) {
	if err := authorizeMove(ctx, w.store, req.RunId); err != nil {
		return nil, err
	}
	owned := w.types.OwnedBy(rpc.CallerFrom(ctx).Service)
	r, err := w.store.Release(ctx, owned, req.RunId, req.LeaseEpoch)
	if err != nil {
		return nil, err
	}
	return &operationsv1.ReleaseRunResponse{Run: toProto(r)}, nil
}

func (w *writer) CompleteRun(ctx context.Context, req *operationsv1.CompleteRunRequest) (*operationsv1.CompleteRunResponse, error) {
	if err := authorizeMove(ctx, w.store, req.RunId); err != nil {
		return nil, err
	}
	c, err := completion(req)
	if err != nil {
		return nil, err
	}
	r, err := w.store.Complete(ctx, rpc.CallerFrom(ctx).Service, req.RunId, c)
	if err != nil {
		return nil, err
	}
	return ended(req, r), nil
}

// ended is the response to req, which completed r.
func ended(req *operationsv1.CompleteRunRequest, r *run.Run) *operationsv1.CompleteRunResponse {
	if req.View == operationsv1.RunView_RUN_VIEW_BASIC {
		return &operationsv1.CompleteRunResponse{Run: basic(r)}
	}
	return &operationsv1.CompleteRunResponse{Run: toProto(r)}
}

func (w *writer) CancelRun(ctx context.Context, req *operationsv1.CancelRunRequest) (*operationsv1.CancelRunResponse, error) {
	if _, err := visible(ctx, w.store, req.RunId); err != nil {
		return nil, err
	}
	by := rpc.CallerFrom(ctx).Service
	if a, ok := actor.From(ctx); ok {
		by = a.Name
	}
	r, err := w.store.Cancel(ctx, req.RunId, by, req.Reason)
	if err != nil {
		return nil, err
	}
	return &operationsv1.CancelRunResponse{Run: toProto(r)}, nil
}

const (
	dispatchPage    = 500
	dispatchPageMax = 1000
)

func (w *writer) ListDispatchableRuns(ctx context.Context, req *operationsv1.ListDispatchableRunsRequest) (*operationsv1.ListDispatchableRunsResponse, error) {
	service := rpc.CallerFrom(ctx).Service
	for i, name := range req.Types {
		t, err := w.types.Get(name)
		if err != nil {
			return nil, errs.Invalid("types["+strconv.Itoa(i)+"]", "%q is not a run type", name)
		}
		if t.Owner != service {
			return nil, errs.Denied(run.ReasonTypeNotOwned, "runs of type %s belong to another service", name)
		}
	}
	size, err := dispatchSize(req.PageSize)
	if err != nil {
		return nil, err
	}
	const binding = "ListDispatchableRuns"
	var from store.Dispatchable
	if req.PageToken != "" {
		if err := w.pages.Open(req.PageToken, binding, &from); err != nil {
			return nil, err
		}
	}
	found, next, err := w.store.Dispatchable(ctx, req.Types, from, size)
	if err != nil {
		return nil, err
	}
	resp := &operationsv1.ListDispatchableRunsResponse{}
	for _, d := range found {
		resp.Runs = append(resp.Runs, &operationsv1.DispatchableRun{
			RunId: d.ID, LeaseEpoch: d.Epoch, Type: d.Type, WorkspaceId: d.WorkspaceID, TenantId: d.TenantID,
		})
	}
	if next != nil {
		resp.NextPageToken, err = w.pages.Seal(binding, *next)
	}
	return resp, err
}

func dispatchSize(asked int32) (int, error) {
	switch {
	case asked < 0:
		return 0, errs.Invalid("page_size", "must not be negative")
	case asked == 0:
		return dispatchPage, nil
	}
	return min(int(asked), dispatchPageMax), nil
}
