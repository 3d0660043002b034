package api

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/retention"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store/statistics"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/watch"
)

type reader struct {
	operationsv1.UnsafeRunReaderServiceServer

	store      *store.Store
	statistics *statistics.Store
	retention  *retention.Store
	types      run.Types
	pages      *page.Sealer
	hub        *watch.Hub
}

func (r *reader) GetRun(ctx context.Context, req *operationsv1.GetRunRequest) (*operationsv1.GetRunResponse, error) {
	found, err := visible(ctx, r.store, req.RunId)
	if err != nil {
		return nil, err
	}
	removed, err := r.store.RemovedReferences(ctx, found)
	if err != nil {
		return nil, err
	}
	shown := toProto(found)
	shown.RemovedReferences = removed
	if found.Status == run.Queued && found.Origin == run.Live {
		ahead, err := r.store.Ahead(ctx, found)
		if err != nil {
			return nil, err
		}
		shown.RunsAhead = &ahead
	}
	return &operationsv1.GetRunResponse{Run: shown}, nil
}

func (r *reader) ListRuns(ctx context.Context, req *operationsv1.ListRunsRequest) (*operationsv1.ListRunsResponse, error) {
	list, fields, err := r.list(req)
	if err != nil {
		return nil, err
	}
	page, err := r.store.ListRuns(ctx, list)
	if err != nil {
		return nil, err
	}
	resp := &operationsv1.ListRunsResponse{}
	for _, found := range page.Runs {
		resp.Runs = append(resp.Runs, fields.trim(toProto(found)))
	}
	if resp.NextPageToken, err = r.token(req, page.Next); err != nil {
		return nil, err
	}
	resp.PreviousPageToken, err = r.token(req, page.Previous)
	return resp, err
}

// list converts a request to the page of the store.
func (r *reader) list(req *operationsv1.ListRunsRequest) (store.List, mask, error) {
	l := store.List{WorkspaceID: req.WorkspaceId}
	var err error
	if l.Size, err = page.Size(req.PageSize); err != nil {
		return l, nil, err
	}
	if l.Filter, err = parseFilter(req.Filter, r.types); err != nil {
		return l, nil, err
	}
	if l.Order, err = parseOrder(req.OrderBy); err != nil {
		return l, nil, err
	}
	fields, err := fieldsOf(req.View, req.ReadMask)
	if err != nil {
		return l, nil, err
	}
	l.Full = fields.full()
	if req.PageToken != "" {
		l.From = &store.Cursor{}
		err = r.pages.Open(req.PageToken, listBinding(req), l.From)
	}
	return l, fields, err
}

// token seals a cursor into a token for the list of req. Without a cursor it returns "".
func (r *reader) token(req *operationsv1.ListRunsRequest, c *store.Cursor) (string, error) {
	if c == nil {
		return "", nil
	}
	return r.pages.Seal(listBinding(req), c)
}

// listBinding returns what a page token belongs to. A token of another list, for example
// with another filter, does not open.
func listBinding(req *operationsv1.ListRunsRequest) string {
	return strings.Join([]string{"ListRuns", strconv.FormatInt(req.WorkspaceId, 10), orderWords(req.OrderBy), req.Filter}, "|")
}

// orderWords returns order_by with single spaces, or the default.
func orderWords(orderBy string) string {
	return cmp.Or(strings.Join(strings.Fields(orderBy), " "), "create_time desc")
}

func parseOrder(orderBy string) (run.Order, error) {
	switch words := orderWords(orderBy); words {
	case "create_time desc":
		return run.Order{By: run.CreateTime}, nil
	case "create_time":
		return run.Order{By: run.CreateTime, Ascending: true}, nil
	case "complete_time desc":
		return run.Order{By: run.CompleteTime}, nil
	case "complete_time":
		return run.Order{By: run.CompleteTime, Ascending: true}, nil
	default:
		return run.Order{}, errs.Invalid("order_by", "%.100q is not an order of runs; use create_time or complete_time, each with or without desc", words)
	}
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

// mask is the set of fields that a list shows of a run.
type mask map[protoreflect.Name]bool

// fieldsOf returns the fields that a list shows: those of the read mask, or else those of
// the view.
func fieldsOf(view operationsv1.RunView, read *fieldmaskpb.FieldMask) (mask, error) {
	m := mask{}
	fields := (&operationsv1.Run{}).ProtoReflect().Descriptor().Fields()
	if len(read.GetPaths()) == 0 {
		for i := range fields.Len() {
			m[fields.Get(i).Name()] = true
		}
		if view != operationsv1.RunView_RUN_VIEW_FULL {
			delete(m, "context")
			delete(m, "failure_summary")
		}
		return m, nil
	}
	for _, path := range read.Paths {
		if path == "*" {
			return fieldsOf(operationsv1.RunView_RUN_VIEW_FULL, nil)
		}
		field := fields.ByName(protoreflect.Name(path))
		if field == nil {
			field = fields.ByJSONName(path)
		}
		if field == nil {
			return nil, errs.Invalid("read_mask", "%.100q is not a field of a run", path)
		}
		m[field.Name()] = true
	}
	return m, nil
}

// full reports whether m has a field that may be large: context or failures.
func (m mask) full() bool { return m["context"] || m["failure_summary"] }

// trim clears the fields of r that m does not have.
func (m mask) trim(r *operationsv1.Run) *operationsv1.Run {
	message := r.ProtoReflect()
	message.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !m[field.Name()] {
			message.Clear(field)
		}
		return true
	})
	return r
}
