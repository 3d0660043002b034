package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

const upsertConnection = `-- store.putConnection
	insert into graph_connection (workspace_id, tenant_id, client_id, secret_sealed, secret_expires_at)
	values ($1, $2, $3, $4, $5)
	on conflict on constraint connection_once_per_tenant do update set client_id = excluded.client_id,
		secret_sealed = excluded.secret_sealed, secret_expires_at = excluded.secret_expires_at, secret_set_at = now()`

func putConnection(ctx context.Context, tx pgx.Tx, workspaceID, tenantID int64, c tenant.Credential) error {
	_, err := tx.Exec(ctx, upsertConnection, workspaceID, tenantID, c.ClientID, c.Sealed, c.SecretExpiresAt)
	if err != nil {
		return fmt.Errorf("put connection: %w", err)
	}
	return nil
}

const touchTenant = `-- store.touchTenant
	update tenant set revision = revision + 1, updated_at = now() where workspace_id = $1 and id = $2`

// SetConnection replaces the Graph connection of a tenant.
func (s *Store) SetConnection(ctx context.Context, by workspace.By, workspaceID, tenantID int64, c tenant.Credential) (tenant.Tenant, error) {
	var t tenant.Tenant
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := oneTenant(ctx, tx, lockTenant, workspaceID, tenantID); err != nil {
			return err
		}
		if err := putConnection(ctx, tx, workspaceID, tenantID, c); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, touchTenant, workspaceID, tenantID); err != nil {
			return fmt.Errorf("touch tenant: %w", err)
		}
		err := record(ctx, tx, by, change{
			workspaceID: workspaceID, action: "graph_connection.set", kind: "tenant", id: tenantID,
			detail: map[string]any{"client_id": c.ClientID},
		})
		if err != nil {
			return err
		}
		t, err = oneTenant(ctx, tx, readTenant, workspaceID, tenantID)
		return err
	})
	return t, err
}

const readCredential = `-- store.readCredential
	select client_id, secret_sealed, secret_expires_at from graph_connection where workspace_id = $1 and tenant_id = $2`

// Credential reads how to sign in to a tenant. It returns NotFound if the tenant has
// no connection.
func (s *Store) Credential(ctx context.Context, workspaceID, tenantID int64) (tenant.Credential, error) {
	c, err := one[tenant.Credential](ctx, s.db, readCredential, workspaceID, tenantID)
	return c, missing(err, "Graph connection")
}
