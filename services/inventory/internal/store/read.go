package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

var (
	// ErrReadClosed says that a later read of the type has closed this one: nothing
	// more can be written under it. Its worker may begin a new read.
	ErrReadClosed = errors.New("the read was closed by a later one")
	// ErrTakenOver says that another worker has the run; this one must stop.
	ErrTakenOver = errors.New("the run was taken over by a later attempt")
)

const closeReads = `-- store.closeReads
	update coverage set end_time = now(), reason_code = 'lease_expired',
		message = 'The worker that read it was lost; a later read continued.'
	where tenant_id = $1 and type = $2 and end_time is null`

const beginRead = `-- store.beginRead
	insert into coverage (workspace_id, tenant_id, type, operation_run_id, lease_epoch)
	select $1, $2, $3, $4, $5
	where not exists (select from coverage where operation_run_id = $4 and type = $3 and lease_epoch > $5)
	returning id`

// BeginRead opens a read of r's type, under its [Lock]. It closes the read that a
// lost worker left open: each write of that worker is either done before this read
// or refused. A worker whose run was taken over is refused here, with ErrTakenOver.
func (s *Store) BeginRead(ctx context.Context, r item.Read) (item.Read, error) {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, closeReads, r.TenantID, r.Type); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, beginRead, r.WorkspaceID, r.TenantID, r.Type, r.RunID, r.Epoch).Scan(&r.ID)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrTakenOver
		}
		return err
	})
	if err != nil {
		return r, fmt.Errorf("begin read of %s: %w", r.Type, err)
	}
	return r, nil
}

// The row stays locked until the transaction ends. Who closes the read waits for
// the batch, and a later batch finds the read closed.
const lockRead = `-- store.lockRead
	select true from coverage where id = $1 and end_time is null for no key update`

func lockOpenRead(ctx context.Context, tx pgx.Tx, r item.Read) error {
	var open bool
	err := tx.QueryRow(ctx, lockRead, r.ID).Scan(&open)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrReadClosed
	}
	return err
}

const listUnseen = `-- store.listUnseen
	select external_id from item
	where workspace_id = $1 and tenant_id = $2 and type = $3 and removed_time is null
		and last_seen_read_id < $4
	limit $5`

// Unseen returns the external ids of the items that [Store.EndRead] would remove if
// r were complete now, at most limit of them.
func (s *Store) Unseen(ctx context.Context, r item.Read, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, listUnseen, r.WorkspaceID, r.TenantID, r.Type, r.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("unseen of %s: %w", r.Type, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("unseen of %s: %w", r.Type, err)
	}
	return ids, nil
}

const removeUnseen = `-- store.removeUnseen
	update item set removed_time = now()
	where workspace_id = $1 and tenant_id = $2 and type = $3 and removed_time is null
		and last_seen_read_id < $4`

const endRead = `-- store.endRead
	update coverage set end_time = now(), complete = $2, reason_code = $3, message = $4,
		listed_count = $5, read_count = $6, failed_count = $7, created_count = $8,
		updated_count = $9, unchanged_count = $10, removed_count = $11
	where id = $1`

// EndRead closes the read of c. If the read is complete, it also removes the items
// that the read did not see, which are those last seen by an earlier read. It returns
// c with their number.
func (s *Store) EndRead(ctx context.Context, c item.Coverage) (item.Coverage, error) {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := lockOpenRead(ctx, tx, c.Read); err != nil {
			return err
		}
		if c.Complete {
			tag, err := tx.Exec(ctx, removeUnseen, c.WorkspaceID, c.TenantID, c.Type, c.Read.ID)
			if err != nil {
				return err
			}
			c.Removed = tag.RowsAffected()
		}
		_, err := tx.Exec(ctx, endRead, c.Read.ID, c.Complete, c.Reason, c.Message, c.Listed,
			c.Counts.Read, c.Failed, c.Created, c.Updated, c.Unchanged, c.Removed)
		return err
	})
	if err != nil {
		return c, fmt.Errorf("end read of %s: %w", c.Type, err)
	}
	return c, nil
}
