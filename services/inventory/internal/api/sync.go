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

// StartSync starts a sync, or answers the one that is active for the same types.
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
	// Who asks is in the user's token, which travels along.
	resp, err := w.Worker.Start(ctx, &operationsv1.StartRunRequest{
		WorkspaceId:    req.GetWorkspaceId(),
		TenantId:       &req.TenantId,
		Type:           item.RunType,
		IdentityInputs: selected.Hash(),
		Context:        about,
		InitiatorName:  withoutUser(ctx),
		// With an id of our own an answer that gets lost is asked for again.
		RequestId: cmp.Or(req.GetRequestId(), rand.Text()),
		RetryOf:   req.RetryOf,
	})
	if err != nil {
		return nil, err
	}
	return &inventoryv1.StartSyncResponse{Run: resp.GetRun(), Started: resp.GetStarted()}, nil
}

// selection is the types that are named or, if none are, those of the sync to
// repeat. Whether that one can be repeated is for StartRun to say: one that is not
// to be seen, or is no sync, is left to it with all types.
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

// withoutUser names who asks where no end user does: the platform operator.
func withoutUser(ctx context.Context) string {
	if _, ok := actor.From(ctx); ok {
		return ""
	}
	return rpc.CallerFrom(ctx).Service
}
