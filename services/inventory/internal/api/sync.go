package api

import (
	"cmp"
	"context"
	"crypto/rand"

	"google.golang.org/protobuf/types/known/structpb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// StartSync starts a sync, or answers the one that is active for the same types.
func (w *writer) StartSync(ctx context.Context, req *inventoryv1.StartSyncRequest) (*inventoryv1.StartSyncResponse, error) {
	selected, err := item.Select(req.GetTypes(), w.Types)
	if err != nil {
		return nil, err
	}
	if err := w.tenants.ask(ctx, req.GetWorkspaceId(), req.GetTenantId()); err != nil {
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
	})
	if err != nil {
		return nil, err
	}
	return &inventoryv1.StartSyncResponse{Run: resp.GetRun(), Started: resp.GetStarted()}, nil
}

// withoutUser names who asks where no end user does: the platform operator.
func withoutUser(ctx context.Context) string {
	if _, ok := actor.From(ctx); ok {
		return ""
	}
	return rpc.CallerFrom(ctx).Service
}
