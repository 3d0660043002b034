package api

import (
	"cmp"
	"context"
	"crypto/rand"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// StartSync starts a sync, or returns the active one of the same types.
func (w *writer) StartSync(ctx context.Context, req *inventoryv1.StartSyncRequest) (*inventoryv1.StartSyncResponse, error) {
	selected, err := w.selection(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := w.Tenants.ExistsNow(ctx, req.GetWorkspaceId(), req.GetTenantId()); err != nil {
		return nil, err
	}
	about, err := structpb.NewStruct(selected.Context(0))
	if err != nil {
		return nil, err
	}
	// Operations takes the initiator from the user's token, which travels with the call.
	resp, err := w.Worker.Start(ctx, &operationsv1.StartRunRequest{
		WorkspaceId:    req.GetWorkspaceId(),
		TenantId:       &req.TenantId,
		Type:           item.RunType,
		IdentityInputs: selected.Hash(),
		Context:        about,
		InitiatorName:  withoutUser(ctx),
		// With a request id of our own, the client repeats the call if its reply is lost.
		RequestId: cmp.Or(req.GetRequestId(), rand.Text()),
		RetryOf:   req.RetryOf,
	})
	if err != nil {
		return nil, err
	}
	return &inventoryv1.StartSyncResponse{Run: resp.GetRun(), Started: resp.GetStarted()}, nil
}

// selection returns the types that the request names or, if it names none, those
// of the run that it repeats. If that run cannot be seen, or is no sync, it returns
// all types: StartRun then refuses the request, in its own words.
func (w *writer) selection(ctx context.Context, req *inventoryv1.StartSyncRequest) (item.Selection, error) {
	if len(req.GetTypes()) > 0 || req.RetryOf == nil {
		return item.Select(req.GetTypes(), w.Types)
	}
	resp, err := w.Runs.GetRun(ctx, &operationsv1.GetRunRequest{RunId: req.GetRetryOf()})
	if err != nil && errs.Code(err) != codes.NotFound {
		return nil, err
	}
	original := resp.GetRun()
	if original.GetType() != item.RunType {
		return item.Select(nil, w.Types)
	}
	selected, err := item.Select(item.TypesOf(original.GetContext().AsMap()), w.Types)
	if err != nil {
		return nil, errs.Invalid("retry_of", "run %d synced policy types that are not known any more", original.GetId())
	}
	return selected, nil
}

// withoutUser returns the name of the calling service if the call has no end user,
// and "" if it has one: then the user's token names the initiator.
func withoutUser(ctx context.Context) string {
	if _, ok := actor.From(ctx); ok {
		return ""
	}
	return rpc.CallerFrom(ctx).Service
}
