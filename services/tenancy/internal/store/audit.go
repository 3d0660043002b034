package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// change is one line of the audit trail. Detail never holds a secret.
type change struct {
	workspaceID int64  // 0: about no workspace yet
	action      string // "tenant.create"
	kind        string
	id          int64
	detail      map[string]any
}

const writeEvent = `-- store.writeEvent
	insert into audit_event (workspace_id, service, user_id, user_name, action, object_kind, object_id, request_id, detail)
	values (nullif($1::bigint, 0), $2, nullif($3::bigint, 0), $4, $5, $6, $7, $8, $9)`

// record writes c in the transaction of the change itself, so that neither exists
// without the other.
func record(ctx context.Context, tx pgx.Tx, by workspace.By, c change) error {
	if c.detail == nil {
		c.detail = map[string]any{}
	}
	detail, err := json.Marshal(c.detail)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	_, err = tx.Exec(ctx, writeEvent, c.workspaceID, by.Service, by.UserID, by.Name, c.action, c.kind, c.id, by.RequestID, detail)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}
