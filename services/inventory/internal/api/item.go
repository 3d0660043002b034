package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// ListItems answers a page of a tenant's items.
func (r *reader) ListItems(ctx context.Context, req *inventoryv1.ListItemsRequest) (*inventoryv1.ListItemsResponse, error) {
	if req.GetType() != "" && !slices.Contains(r.Types, req.GetType()) {
		return nil, errs.Invalid("type", "%q is not a policy type", req.GetType())
	}
	f := store.ItemFilter{
		WorkspaceID: req.GetWorkspaceId(), TenantID: req.GetTenantId(), Type: req.GetType(), Removed: req.GetShowRemoved(),
	}
	var after store.After
	p := paging{pages: r.Pages, binding: fmt.Sprintf("items %d %d %q %t", f.WorkspaceID, f.TenantID, f.Type, f.Removed)}
	size, err := p.open(req, &after)
	if err != nil {
		return nil, err
	}
	if err := r.tenants.exists(ctx, f.WorkspaceID, f.TenantID); err != nil {
		return nil, err
	}
	items, err := r.Store.Items(ctx, f, after, size+1)
	if err != nil {
		return nil, err
	}
	resp := &inventoryv1.ListItemsResponse{}
	if len(items) > size {
		items = items[:size]
		last := items[size-1]
		if resp.NextPageToken, err = p.next(store.After{Type: last.Type, ExternalID: last.ExternalID}); err != nil {
			return nil, err
		}
	}
	for _, i := range items {
		resp.Items = append(resp.Items, itemMessage(i))
	}
	return resp, nil
}

// GetItem answers an item and its current version, byte for byte.
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

// ListVersions answers a page of an item's versions, newest first.
func (r *reader) ListVersions(ctx context.Context, req *inventoryv1.ListVersionsRequest) (*inventoryv1.ListVersionsResponse, error) {
	var before int32
	p := paging{pages: r.Pages, binding: fmt.Sprintf("versions %d %d", req.GetWorkspaceId(), req.GetItemId())}
	size, err := p.open(req, &before)
	if err != nil {
		return nil, err
	}
	i, err := r.Store.Item(ctx, req.GetWorkspaceId(), req.GetItemId())
	if err != nil {
		return nil, err
	}
	versions, err := r.Store.Versions(ctx, i.ID, before, size+1)
	if err != nil {
		return nil, err
	}
	resp := &inventoryv1.ListVersionsResponse{}
	if len(versions) > size {
		versions = versions[:size]
		if resp.NextPageToken, err = p.next(versions[size-1].Number); err != nil {
			return nil, err
		}
	}
	for _, v := range versions {
		resp.Versions = append(resp.Versions, versionMessage(v))
	}
	return resp, nil
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

// paging is the tokens of one list: bound to all that makes it that list.
type paging struct {
	pages   *page.Sealer
	binding string
}

type paged interface {
	GetPageSize() int32
	GetPageToken() string
}

// open answers the page's size and fills cursor from the token, if there is one.
func (p paging) open(req paged, cursor any) (int, error) {
	size, err := page.Size(req.GetPageSize())
	if err != nil || req.GetPageToken() == "" {
		return size, err
	}
	return size, p.pages.Open(req.GetPageToken(), p.binding, cursor)
}

func (p paging) next(cursor any) (string, error) { return p.pages.Seal(p.binding, cursor) }
