package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// After is the cursor of a list of items: a page begins behind this item.
type After struct{ Type, ExternalID string }

// ItemFilter selects items of a tenant.
type ItemFilter struct {
	WorkspaceID, TenantID int64
	Type                  string // "" for all
	Removed               bool   // also those that are gone
}

const itemColumns = `id, workspace_id, tenant_id, type, external_id, display_name, odata_type, version,
	canonical_hash, last_seen_operation_run_id, first_seen_time, last_seen_time, removed_time`

const listPresent = `-- store.listPresentItems
	select ` + itemColumns + ` from item
	where workspace_id = $1 and tenant_id = $2 and (type, external_id) > ($4, $5) and removed_time is null
		and type between $3 and $7
	order by type, external_id limit $6`

const listAll = `-- store.listAllItems
	select ` + itemColumns + ` from item
	where workspace_id = $1 and tenant_id = $2 and (type, external_id) > ($4, $5)
		and type between $3 and $7
	order by type, external_id limit $6`

// Items returns a page of items, ordered by type and external id.
func (s *Store) Items(ctx context.Context, f ItemFilter, p page.Page[After]) ([]item.Item, error) {
	query := listPresent
	if f.Removed {
		query = listAll
	}
	first, last := f.Type, f.Type
	if f.Type == "" {
		last = "\U0010FFFF" // behind every name
	}
	rows, err := s.db.Query(ctx, query, f.WorkspaceID, f.TenantID, first, p.After.Type, p.After.ExternalID, p.Limit, last)
	if err != nil {
		return nil, fmt.Errorf("list items: %w", err)
	}
	return pgx.CollectRows(rows, scanItem)
}

func scanItem(row pgx.CollectableRow) (item.Item, error) {
	var i item.Item
	err := row.Scan(&i.ID, &i.WorkspaceID, &i.TenantID, &i.Type, &i.ExternalID, &i.DisplayName, &i.ODataType, &i.Version,
		&i.Hash, &i.LastSeenRun, &i.FirstSeen, &i.LastSeen, &i.Removed)
	return i, err
}

const getItem = `-- store.getItem
	select ` + itemColumns + ` from item where workspace_id = $1 and id = $2`

// Item returns one item of a workspace.
func (s *Store) Item(ctx context.Context, workspaceID, id int64) (item.Item, error) {
	rows, err := s.db.Query(ctx, getItem, workspaceID, id)
	if err != nil {
		return item.Item{}, fmt.Errorf("get item %d: %w", id, err)
	}
	i, err := pgx.CollectExactlyOneRow(rows, scanItem)
	return i, missing(err, "item")
}

const getVersion = `-- store.getVersion
	select item_id, version, canonical_hash, normaliser_version, operation_run_id, create_time, display_name, payload
	from item_version where item_id = $1 and version = $2`

const getElements = `-- store.getElements
	select collection, parent_id, ordinal, payload
	from version_element where item_id = $1 and version = $2
	order by collection, parent_id, ordinal`

// Version returns one version with every byte of it.
func (s *Store) Version(ctx context.Context, itemID int64, number int32) (item.Version, []item.Element, error) {
	rows, err := s.db.Query(ctx, getVersion, itemID, number)
	if err != nil {
		return item.Version{}, nil, fmt.Errorf("get version %d of item %d: %w", number, itemID, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, scanVersion)
	if err != nil {
		return v, nil, fmt.Errorf("get version %d of item %d: %w", number, itemID, err)
	}
	rows, err = s.db.Query(ctx, getElements, itemID, number)
	if err != nil {
		return v, nil, fmt.Errorf("get elements of item %d: %w", itemID, err)
	}
	elements, err := pgx.CollectRows(rows, pgx.RowToStructByPos[item.Element])
	return v, elements, err
}

func scanVersion(row pgx.CollectableRow) (item.Version, error) {
	var v item.Version
	err := row.Scan(&v.ItemID, &v.Number, &v.Hash, &v.Normaliser, &v.RunID, &v.Created, &v.DisplayName, &v.Payload)
	return v, err
}

const listVersions = `-- store.listVersions
	select item_id, version, canonical_hash, normaliser_version, operation_run_id, create_time, display_name, null::bytea
	from item_version where item_id = $1 and ($2 = 0 or version < $2)
	order by version desc limit $3`

// Versions returns a page of an item's versions without their payloads, newest
// first. The caller must have read the item: its id alone is no access control.
func (s *Store) Versions(ctx context.Context, itemID int64, p page.Page[int32]) ([]item.Version, error) {
	rows, err := s.db.Query(ctx, listVersions, itemID, p.After, p.Limit)
	if err != nil {
		return nil, fmt.Errorf("list versions of item %d: %w", itemID, err)
	}
	return pgx.CollectRows(rows, scanVersion)
}
