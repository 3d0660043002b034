package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// tenantRow is a tenant with its connection, if it has one.
type tenantRow struct {
	ID, WorkspaceID                         int64
	DisplayName, DirectoryID, PrimaryDomain string
	Cloud                                   tenant.Cloud
	Revision                                int64
	CreatedAt, UpdatedAt                    time.Time
	ClientID                                *string
	SecretSetAt, SecretExpiresAt            *time.Time
}

func (r tenantRow) tenant() tenant.Tenant {
	t := tenant.Tenant{
		ID: r.ID, WorkspaceID: r.WorkspaceID,
		DisplayName: r.DisplayName, DirectoryID: r.DirectoryID, PrimaryDomain: r.PrimaryDomain,
		Cloud: r.Cloud, Revision: r.Revision, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	if r.ClientID != nil {
		t.Connection = &tenant.Connection{ClientID: *r.ClientID, SecretSetAt: *r.SecretSetAt, SecretExpiresAt: r.SecretExpiresAt}
	}
	return t
}

const readTenant = `-- store.readTenant
	select t.id, t.workspace_id, t.display_name, t.directory_id, t.primary_domain, t.national_cloud, t.revision,
		t.created_at, t.updated_at, c.client_id, c.secret_set_at, c.secret_expires_at
	from tenant t left join graph_connection c on c.workspace_id = t.workspace_id and c.tenant_id = t.id
	where t.workspace_id = $1 and t.id = $2`

// Tenant reads one tenant.
func (s *Store) Tenant(ctx context.Context, workspaceID, id int64) (tenant.Tenant, error) {
	return oneTenant(ctx, s.db, readTenant, workspaceID, id)
}

const readTenantByDirectory = `-- store.readTenantByDirectory
	select t.id, t.workspace_id, t.display_name, t.directory_id, t.primary_domain, t.national_cloud, t.revision,
		t.created_at, t.updated_at, c.client_id, c.secret_set_at, c.secret_expires_at
	from tenant t left join graph_connection c on c.workspace_id = t.workspace_id and c.tenant_id = t.id
	where t.workspace_id = $1 and t.directory_id = $2`

// TenantOf reads the tenant of a directory.
func (s *Store) TenantOf(ctx context.Context, workspaceID int64, directoryID string) (tenant.Tenant, error) {
	return oneTenant(ctx, s.db, readTenantByDirectory, workspaceID, directoryID)
}

func oneTenant(ctx context.Context, q querier, sql string, args ...any) (tenant.Tenant, error) {
	r, err := one[tenantRow](ctx, q, sql, args...)
	if err != nil {
		return tenant.Tenant{}, missing(err, "tenant")
	}
	return r.tenant(), nil
}

const listTenants = `-- store.listTenants
	select t.id, t.workspace_id, t.display_name, t.directory_id, t.primary_domain, t.national_cloud, t.revision,
		t.created_at, t.updated_at, c.client_id, c.secret_set_at, c.secret_expires_at
	from tenant t left join graph_connection c on c.workspace_id = t.workspace_id and c.tenant_id = t.id
	where t.workspace_id = $1 and t.id > $2 order by t.id limit $3`

// Tenants lists a workspace's tenants, by id.
func (s *Store) Tenants(ctx context.Context, workspaceID int64, p page.Page[int64]) ([]tenant.Tenant, error) {
	rows, err := many[tenantRow](ctx, s.db, listTenants, workspaceID, p.After, p.Limit)
	if err != nil {
		return nil, err
	}
	list := make([]tenant.Tenant, len(rows))
	for i, r := range rows {
		list[i] = r.tenant()
	}
	return list, nil
}

const nextTenantID = `-- store.nextTenantID
	select nextval(pg_get_serial_sequence('tenant', 'id'))`

// NextTenantID returns the id of a tenant that is to be created. Its secret is sealed
// with the id before the row exists.
func (s *Store) NextTenantID(ctx context.Context) (int64, error) {
	var id int64
	if err := s.db.QueryRow(ctx, nextTenantID).Scan(&id); err != nil {
		return 0, fmt.Errorf("next tenant id: %w", err)
	}
	return id, nil
}

const insertTenant = `-- store.insertTenant
	insert into tenant (id, workspace_id, display_name, directory_id, primary_domain, national_cloud)
	overriding system value values ($1, $2, $3, $4, $5, $6)`

// CreateTenant adds t, whose id comes from [Store.NextTenantID]. If c is not nil, the
// tenant gets that Graph connection.
func (s *Store) CreateTenant(ctx context.Context, by workspace.By, r once.Request, t tenant.Tenant, c *tenant.Credential) (tenant.Tenant, error) {
	var made tenant.Tenant
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var err error
		made, err = once.Do(ctx, tx, t.WorkspaceID, r, func() (tenant.Tenant, error) { return create(ctx, tx, by, t, c) })
		return err
	})
	return made, tenantTaken(err)
}

func create(ctx context.Context, tx pgx.Tx, by workspace.By, t tenant.Tenant, c *tenant.Credential) (made tenant.Tenant, err error) {
	_, err = tx.Exec(ctx, insertTenant, t.ID, t.WorkspaceID, t.DisplayName, t.DirectoryID, t.PrimaryDomain, t.Cloud)
	if err != nil {
		return made, fmt.Errorf("insert tenant: %w", err)
	}
	detail := map[string]any{"display_name": t.DisplayName, "directory_id": t.DirectoryID, "national_cloud": t.Cloud}
	if c != nil {
		if err := putConnection(ctx, tx, t.WorkspaceID, t.ID, *c); err != nil {
			return made, err
		}
		detail["client_id"] = c.ClientID
	}
	err = record(ctx, tx, by, change{
		workspaceID: t.WorkspaceID, action: "tenant.create", kind: "tenant", id: t.ID, detail: detail,
	})
	if err != nil {
		return made, err
	}
	return oneTenant(ctx, tx, readTenant, t.WorkspaceID, t.ID)
}

const lockTenant = `-- store.lockTenant
	select t.id, t.workspace_id, t.display_name, t.directory_id, t.primary_domain, t.national_cloud, t.revision,
		t.created_at, t.updated_at, c.client_id, c.secret_set_at, c.secret_expires_at
	from tenant t left join graph_connection c on c.workspace_id = t.workspace_id and c.tenant_id = t.id
	where t.workspace_id = $1 and t.id = $2 for update of t`

const updateTenant = `-- store.updateTenant
	update tenant set display_name = $3, primary_domain = $4, revision = revision + 1, updated_at = now()
	where workspace_id = $1 and id = $2`

// Rename is what UpdateTenant may change. An empty field stays as it is.
type Rename struct{ DisplayName, PrimaryDomain, Etag string }

// UpdateTenant renames a tenant.
func (s *Store) UpdateTenant(ctx context.Context, by workspace.By, workspaceID, id int64, r Rename) (tenant.Tenant, error) {
	var t tenant.Tenant
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var err error
		if t, err = oneTenant(ctx, tx, lockTenant, workspaceID, id); err != nil {
			return err
		}
		moved, err := t.Change(r.DisplayName, r.PrimaryDomain, r.Etag)
		if err != nil || !moved {
			return err
		}
		if _, err := tx.Exec(ctx, updateTenant, workspaceID, id, t.DisplayName, t.PrimaryDomain); err != nil {
			return fmt.Errorf("update tenant: %w", err)
		}
		if err := record(ctx, tx, by, change{
			workspaceID: workspaceID, action: "tenant.update", kind: "tenant", id: id,
			detail: map[string]any{"display_name": t.DisplayName, "primary_domain": t.PrimaryDomain},
		}); err != nil {
			return err
		}
		t, err = oneTenant(ctx, tx, readTenant, workspaceID, id)
		return err
	})
	return t, tenantTaken(err)
}

const deleteTenant = `-- store.deleteTenant
	with gone as (delete from tenant where workspace_id = $1 and id = $2 returning legacy_id, workspace_id, id)
	insert into deleted_tenant (legacy_id, workspace_id, tenant_id)
	select legacy_id, workspace_id, id from gone where legacy_id is not null`

// DeleteTenant removes a tenant with its sealed secret. The ids of an imported tenant
// are kept: otherwise the next import would bring it back.
func (s *Store) DeleteTenant(ctx context.Context, by workspace.By, workspaceID, id int64) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		t, err := oneTenant(ctx, tx, lockTenant, workspaceID, id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteTenant, workspaceID, id); err != nil {
			return fmt.Errorf("delete tenant: %w", err)
		}
		return record(ctx, tx, by, change{
			workspaceID: workspaceID, action: "tenant.delete", kind: "tenant", id: id,
			detail: map[string]any{"display_name": t.DisplayName, "directory_id": t.DirectoryID},
		})
	})
}

// tenantTaken turns the violation of a unique constraint into an error that names
// the field which another tenant already has.
func tenantTaken(err error) error {
	if err == nil {
		return nil
	}
	switch pg.Constraint(err) {
	case "tenant_named_once_in_workspace":
		return errs.Exists("TENANT_EXISTS", "the workspace has a tenant of that name").With("field", "display_name").Wrap(err)
	case "tenant_directory_once_in_workspace":
		return errs.Exists("TENANT_EXISTS", "the workspace has a tenant of that directory").With("field", "directory_id").Wrap(err)
	}
	return err
}
