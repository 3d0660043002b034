package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// Write stores a batch of objects that the read saw, in one transaction, and returns
// how they are counted. An object may be in a batch once. If the same object is
// written again, by this run or another, no version is added.
func (s *Store) Write(ctx context.Context, r item.Read, normaliser int, batch []item.Seen) (item.Counts, error) {
	w := write{read: r, normaliser: normaliser}
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := lockOpenRead(ctx, tx, r); err != nil {
			return err
		}
		known, err := knownItems(ctx, tx, r, batch)
		if err != nil {
			return fmt.Errorf("look up items: %w", err)
		}
		w.sort(known, batch)
		return w.run(ctx, tx)
	})
	if err != nil {
		return item.Counts{}, fmt.Errorf("write %d of %s: %w", len(batch), r.Type, err)
	}
	return w.counts, nil
}

const lookUp = `-- store.knownItems
	select external_id, id, version, canonical_hash, version_operation_run_id, removed_time is not null as removed
	from item where workspace_id = $1 and tenant_id = $2 and type = $3 and external_id = any($4)`

// knownItems needs no row locks: only the holder of the open read writes items of its type.
func knownItems(ctx context.Context, tx pgx.Tx, r item.Read, batch []item.Seen) (map[string]*item.Known, error) {
	ids := make([]string, len(batch))
	for i, s := range batch {
		ids[i] = s.ExternalID
	}
	rows, err := tx.Query(ctx, lookUp, r.WorkspaceID, r.TenantID, r.Type, ids)
	if err != nil {
		return nil, err
	}
	known := make(map[string]*item.Known, len(batch))
	var id string
	var k item.Known
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &k.ID, &k.Version, &hash, &k.VersionRun, &k.Removed}, func() error {
		found := k
		copy(found.Hash[:], hash)
		known[id] = &found
		return nil
	})
	return known, err
}

// write is one batch, sorted by what has to be written.
type write struct {
	read       item.Read
	normaliser int
	counts     item.Counts

	unchanged []int64     // ids only: nothing else is sent for them
	created   []item.Seen // no item yet
	versions  []versionOf // of items that have one already
}

// versionOf is a version to write.
type versionOf struct {
	item.Seen
	id     int64
	number int32
}

func (w *write) sort(known map[string]*item.Known, batch []item.Seen) {
	for _, s := range batch {
		k := known[s.ExternalID]
		change, version := k.See(s, w.read.RunID)
		w.counts.Count(change)
		switch {
		case k == nil:
			w.created = append(w.created, s)
		case version == 0:
			w.unchanged = append(w.unchanged, k.ID)
		default:
			w.versions = append(w.versions, versionOf{Seen: s, id: k.ID, number: version})
		}
	}
}

func (w *write) run(ctx context.Context, tx pgx.Tx) error {
	if err := w.touch(ctx, tx); err != nil {
		return fmt.Errorf("touch items: %w", err)
	}
	if err := w.change(ctx, tx); err != nil {
		return fmt.Errorf("change items: %w", err)
	}
	if err := w.create(ctx, tx); err != nil {
		return fmt.Errorf("create items: %w", err)
	}
	if err := w.addVersions(ctx, tx); err != nil {
		return fmt.Errorf("add versions: %w", err)
	}
	if err := w.addElements(ctx, tx); err != nil {
		return fmt.Errorf("add elements: %w", err)
	}
	return nil
}

const touchItems = `-- store.touchItems
	update item set last_seen_read_id = $2, last_seen_operation_run_id = $3, last_seen_time = now(), removed_time = null
	where id = any($1)`

func (w *write) touch(ctx context.Context, tx pgx.Tx) error {
	if len(w.unchanged) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, touchItems, w.unchanged, w.read.ID, w.read.RunID)
	return err
}

const changeItems = `-- store.changeItems
	update item set last_seen_read_id = $6, last_seen_operation_run_id = $7, last_seen_time = now(), removed_time = null,
		version = s.version, version_operation_run_id = $7,
		display_name = s.display_name, odata_type = s.odata_type, canonical_hash = s.canonical_hash
	from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::bytea[])
		as s (id, version, display_name, odata_type, canonical_hash)
	where item.id = s.id`

func (w *write) change(ctx context.Context, tx pgx.Tx) error {
	if len(w.versions) == 0 {
		return nil
	}
	var ids []int64
	var numbers []int32
	var names, kinds []string
	var hashes [][]byte
	for _, v := range w.versions {
		ids, numbers = append(ids, v.id), append(numbers, v.number)
		names, kinds, hashes = append(names, v.DisplayName), append(kinds, v.ODataType), append(hashes, v.Hash[:])
	}
	_, err := tx.Exec(ctx, changeItems, ids, numbers, names, kinds, hashes, w.read.ID, w.read.RunID)
	return err
}

const createItems = `-- store.createItems
	insert into item (workspace_id, tenant_id, type, external_id, display_name, odata_type, version, canonical_hash,
		version_operation_run_id, last_seen_read_id, last_seen_operation_run_id, first_seen_time, last_seen_time)
	select $5, $6, $7, s.external_id, s.display_name, s.odata_type, 1, s.canonical_hash, $9, $8, $9, now(), now()
	from unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
		as s (external_id, display_name, odata_type, canonical_hash)
	returning external_id, id`

// create makes the new items, and adds their first versions to those to be written.
func (w *write) create(ctx context.Context, tx pgx.Tx) error {
	if len(w.created) == 0 {
		return nil
	}
	seen := make(map[string]item.Seen, len(w.created))
	var ids, names, kinds []string
	var hashes [][]byte
	for _, s := range w.created {
		seen[s.ExternalID] = s
		ids, names, kinds = append(ids, s.ExternalID), append(names, s.DisplayName), append(kinds, s.ODataType)
		hashes = append(hashes, s.Hash[:])
	}
	rows, err := tx.Query(ctx, createItems, ids, names, kinds, hashes,
		w.read.WorkspaceID, w.read.TenantID, w.read.Type, w.read.ID, w.read.RunID)
	if err != nil {
		return err
	}
	var external string
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&external, &id}, func() error {
		w.versions = append(w.versions, versionOf{Seen: seen[external], id: id, number: 1})
		return nil
	})
	return err
}

const addVersions = `-- store.addVersions
	insert into item_version (item_id, version, display_name, canonical_hash, payload, normaliser_version, operation_run_id)
	select s.item_id, s.version, s.display_name, s.canonical_hash, s.payload, $6, $7
	from unnest($1::bigint[], $2::int[], $3::text[], $4::bytea[], $5::bytea[])
		as s (item_id, version, display_name, canonical_hash, payload)`

func (w *write) addVersions(ctx context.Context, tx pgx.Tx) error {
	if len(w.versions) == 0 {
		return nil
	}
	var ids []int64
	var numbers []int32
	var names []string
	var hashes, payloads [][]byte
	for _, v := range w.versions {
		ids, numbers, names = append(ids, v.id), append(numbers, v.number), append(names, v.DisplayName)
		hashes, payloads = append(hashes, v.Hash[:]), append(payloads, v.Payload)
	}
	_, err := tx.Exec(ctx, addVersions, ids, numbers, names, hashes, payloads, w.normaliser, w.read.RunID)
	return err
}

const addElements = `-- store.addElements
	insert into version_element (item_id, version, collection, parent_id, ordinal, payload)
	select * from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::int[], $6::bytea[])`

func (w *write) addElements(ctx context.Context, tx pgx.Tx) error {
	var ids []int64
	var numbers, ordinals []int32
	var collections, parents []string
	var payloads [][]byte
	for _, v := range w.versions {
		for _, e := range v.Elements {
			ids, numbers, ordinals = append(ids, v.id), append(numbers, v.number), append(ordinals, e.Ordinal)
			collections, parents = append(collections, e.Collection), append(parents, e.ParentID)
			payloads = append(payloads, e.Payload)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, addElements, ids, numbers, collections, parents, ordinals, payloads)
	return err
}
