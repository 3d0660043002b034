package api

import (
	"context"
	"encoding/hex"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// ListItems returns a page of a tenant's items.
func (r *reader) ListItems(ctx context.Context, req *inventoryv1.ListItemsRequest) (*inventoryv1.ListItemsResponse, error) {
	if req.GetType() != "" && !slices.Contains(r.Types, req.GetType()) {
		return nil, errs.Invalid("type", "%q is not a policy type", req.GetType())
	}
	f := store.ItemFilter{
		WorkspaceID: req.GetWorkspaceId(), TenantID: req.GetTenantId(), Type: req.GetType(), Removed: req.GetShowRemoved(),
	}
	l, err := page.Begin[store.After](r.Pages, req, "items %d %d %q %t", f.WorkspaceID, f.TenantID, f.Type, f.Removed)
	if err != nil {
		return nil, err
	}
	if err := r.Tenants.Exists(ctx, f.WorkspaceID, f.TenantID); err != nil {
		return nil, err
	}
	rows, err := r.Store.Items(ctx, f, l.Page)
	if err != nil {
		return nil, err
	}
	messages, next, err := page.Finish(l, rows, func(i item.Item) store.After { return store.After{Type: i.Type, ExternalID: i.ExternalID} }, itemMessage)
	return &inventoryv1.ListItemsResponse{Items: messages, NextPageToken: next}, err
}

// GetItem returns an item and its current version, byte for byte.
func (r *reader) GetItem(ctx context.Context, req *inventoryv1.GetItemRequest) (*inventoryv1.GetItemResponse, error) {
	i, err := r.Store.Item(ctx, req.GetWorkspaceId(), req.GetItemId())
	if err != nil {
		return nil, err
	}
	v, elements, err := r.Store.Version(ctx, i.ID, i.Version)
	if err != nil {
		return nil, err
	}
	m := versionMessage(v)
	for _, e := range elements {
		m.Elements = append(m.Elements, &inventoryv1.Element{
			Collection: e.Collection, ParentId: e.ParentID, Ordinal: e.Ordinal, Payload: e.Payload,
		})
	}
	return &inventoryv1.GetItemResponse{Item: itemMessage(i), Version: m}, nil
}

// ListVersions returns a page of an item's versions, newest first.
func (r *reader) ListVersions(ctx context.Context, req *inventoryv1.ListVersionsRequest) (*inventoryv1.ListVersionsResponse, error) {
	l, err := page.Begin[int32](r.Pages, req, "versions %d %d", req.GetWorkspaceId(), req.GetItemId())
	if err != nil {
		return nil, err
	}
	i, err := r.Store.Item(ctx, req.GetWorkspaceId(), req.GetItemId())
	if err != nil {
		return nil, err
	}
	rows, err := r.Store.Versions(ctx, i.ID, l.Page)
	if err != nil {
		return nil, err
	}
	messages, next, err := page.Finish(l, rows, func(v item.Version) int32 { return v.Number }, versionMessage)
	return &inventoryv1.ListVersionsResponse{Versions: messages, NextPageToken: next}, err
}

func itemMessage(i item.Item) *inventoryv1.Item {
	return &inventoryv1.Item{
		Id: i.ID, WorkspaceId: i.WorkspaceID, TenantId: i.TenantID,
		Type: i.Type, ExternalId: i.ExternalID, DisplayName: i.DisplayName, OdataType: i.ODataType,
		Version: i.Version, CanonicalHash: hex.EncodeToString(i.Hash), LastSeenOperationRunId: i.LastSeenRun,
		FirstSeenTime: timestamppb.New(i.FirstSeen), LastSeenTime: timestamppb.New(i.LastSeen), RemoveTime: stamp(i.Removed),
	}
}

func versionMessage(v item.Version) *inventoryv1.Version {
	return &inventoryv1.Version{
		ItemId: v.ItemID, Version: v.Number, CanonicalHash: hex.EncodeToString(v.Hash), NormaliserVersion: v.Normaliser,
		OperationRunId: v.RunID, CreateTime: timestamppb.New(v.Created), DisplayName: v.DisplayName, Payload: v.Payload,
	}
}
