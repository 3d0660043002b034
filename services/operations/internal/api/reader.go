package api

import (
	"context"
	"strconv"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

type reader struct {
	operationsv1.UnsafeRunReaderServiceServer

	store *store.Store
	types run.Types
	pages *page.Sealer
}

func (r *reader) GetRun(ctx context.Context, req *operationsv1.GetRunRequest) (*operationsv1.GetRunResponse, error) {
	found, err := visible(ctx, r.store, req.RunId)
	if err != nil {
		return nil, err
	}
	return &operationsv1.GetRunResponse{Run: toProto(found)}, nil
}

func (r *reader) ListRuns(ctx context.Context, req *operationsv1.ListRunsRequest) (*operationsv1.ListRunsResponse, error) {
	size, err := page.Size(req.PageSize)
	if err != nil {
		return nil, err
	}
	filter, err := parseFilter(req.Filter, r.types)
	if err != nil {
		return nil, err
	}
	binding := "ListRuns|" + strconv.FormatInt(req.WorkspaceId, 10) + "|" + req.Filter
	var after *store.Cursor
	if req.PageToken != "" {
		after = &store.Cursor{}
		if err := r.pages.Open(req.PageToken, binding, after); err != nil {
			return nil, err
		}
	}
	runs, err := r.store.List(ctx, req.WorkspaceId, filter, after, size+1)
	if err != nil {
		return nil, err
	}
	resp := &operationsv1.ListRunsResponse{}
	if len(runs) > size {
		runs = runs[:size]
		last := runs[size-1]
		if resp.NextPageToken, err = r.pages.Seal(binding, store.Cursor{CreatedAt: last.CreatedAt, ID: last.ID}); err != nil {
			return nil, err
		}
	}
	show := basic
	if req.View == operationsv1.RunView_RUN_VIEW_FULL {
		show = toProto
	}
	for _, found := range runs {
		resp.Runs = append(resp.Runs, show(found))
	}
	return resp, nil
}

func (r *reader) ListRunEvents(ctx context.Context, req *operationsv1.ListRunEventsRequest) (*operationsv1.ListRunEventsResponse, error) {
	if _, err := visible(ctx, r.store, req.RunId); err != nil {
		return nil, err
	}
	size, err := page.Size(req.PageSize)
	if err != nil {
		return nil, err
	}
	binding := "ListRunEvents|" + strconv.FormatInt(req.RunId, 10)
	after := 0
	if req.PageToken != "" {
		if err := r.pages.Open(req.PageToken, binding, &after); err != nil {
			return nil, err
		}
	}
	events, err := r.store.Events(ctx, req.RunId, after, size+1)
	if err != nil {
		return nil, err
	}
	resp := &operationsv1.ListRunEventsResponse{}
	if len(events) > size {
		events = events[:size]
		if resp.NextPageToken, err = r.pages.Seal(binding, events[size-1].Sequence); err != nil {
			return nil, err
		}
	}
	for _, e := range events {
		resp.Events = append(resp.Events, eventProto(e))
	}
	return resp, nil
}

func (r *reader) ListRunTypes(context.Context, *operationsv1.ListRunTypesRequest) (*operationsv1.ListRunTypesResponse, error) {
	resp := &operationsv1.ListRunTypesResponse{}
	for _, t := range r.types.List() {
		resp.RunTypes = append(resp.RunTypes, typeProto(t))
	}
	return resp, nil
}
