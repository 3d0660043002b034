package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// LegacyTenant is a tenant to be imported.
type LegacyTenant struct {
	LegacyID          int64
	LegacyWorkspaceID int64 // 0: the tenant belongs to WorkspaceID
	WorkspaceID       int64
	DisplayName       string
	DirectoryID       string
	PrimaryDomain     string
	Cloud             tenant.Cloud
}

// ImportTenants makes the tenants of a batch that are not here yet. A rehearsal acts
// as if the workspaces that are not imported yet were.
func (s *Store) ImportTenants(ctx context.Context, by workspace.By, rehearse bool, batch []LegacyTenant) (done []Imported, refused []error, err error) {
	err = s.importing(ctx, rehearse, func(tx pgx.Tx) error {
		if rehearse {
			if err := standInWorkspaces(ctx, tx, workspacesOf(batch)); err != nil {
				return err
			}
		}
		done, refused, err = each(batch, func(t LegacyTenant) (Imported, error) { return importTenant(ctx, tx, by, t) })
		return err
	})
	return done, refused, err
}

func workspacesOf(batch []LegacyTenant) (ids []int64) {
	for _, t := range batch {
		if t.LegacyWorkspaceID != 0 {
			ids = append(ids, t.LegacyWorkspaceID)
		}
	}
	return ids
}

const readImportedTenant = `-- store.readImportedTenant
	select id, display_name, workspace_id from tenant where legacy_id = $1
	union all
	select tenant_id, '', workspace_id from deleted_tenant where legacy_id = $1`

type keptTenant struct {
	ID          int64
	Name        string
	WorkspaceID int64
}

func importTenant(ctx context.Context, tx pgx.Tx, by workspace.By, t LegacyTenant) (Imported, error) {
	var err error
	if t.WorkspaceID, err = workspaceOf(ctx, tx, t); err != nil {
		return Imported{}, err
	}
	before, err := maybe[keptTenant](ctx, tx, readImportedTenant, t.LegacyID)
	switch {
	case err != nil:
		return Imported{}, fmt.Errorf("read imported tenant: %w", err)
	case before != nil && before.WorkspaceID != t.WorkspaceID:
		return Imported{}, errs.Conflict("LEGACY_ID_ELSEWHERE", "the tenant was imported into workspace %d before", before.WorkspaceID).
			With("workspace_id", strconv.FormatInt(before.WorkspaceID, 10))
	case before != nil:
		return Imported{before.ID, before.Name, workspace.Found}, nil
	}
	if t.DirectoryID, err = tenant.Directory(t.DirectoryID); err != nil {
		return Imported{}, err
	}
	done, err := adoptOrMake(ctx, tx, t)
	if err != nil {
		return Imported{}, err
	}
	return done, record(ctx, tx, by, change{
		workspaceID: t.WorkspaceID, action: "tenant.import", kind: "tenant", id: done.ID,
		detail: map[string]any{"display_name": done.Name, "directory_id": t.DirectoryID, "legacy_id": t.LegacyID, "adopted": done.Outcome == workspace.Adopted},
	})
}

const readWorkspaceOfLegacy = `-- store.readWorkspaceOfLegacy
	select id from workspace where legacy_id = $1`

const readWorkspaceID = `-- store.readWorkspaceID
	select id from workspace where id = $1`

// workspaceOf returns the id that the workspace of t has in this installation.
func workspaceOf(ctx context.Context, tx pgx.Tx, t LegacyTenant) (int64, error) {
	sql, id, field, problem := readWorkspaceOfLegacy, t.LegacyWorkspaceID, "legacy_workspace_id", "is not imported: import the workspace first"
	if t.LegacyWorkspaceID == 0 {
		sql, id, field, problem = readWorkspaceID, t.WorkspaceID, "workspace_id", "is no workspace of this installation"
	}
	found, err := maybe[struct{ ID int64 }](ctx, tx, sql, id)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read workspace of a tenant: %w", err)
	case found == nil:
		return 0, errs.Invalid(field, "%s", problem)
	}
	return found.ID, nil
}

const adoptTenant = `-- store.adoptTenant
	update tenant set legacy_id = $3 where workspace_id = $1 and directory_id = $2 and legacy_id is null
	returning id, display_name`

const readTenantInTheWay = `-- store.readTenantInTheWay
	select id, legacy_id from tenant where workspace_id = $1 and directory_id = $2`

const importTenantAs = `-- store.importTenantAs
	insert into tenant (legacy_id, workspace_id, display_name, directory_id, primary_domain, national_cloud)
	values ($1, $2, $3, $4, $5, $6) on conflict do nothing
	returning id, display_name`

// adoptOrMake adopts the tenant that has the directory already, or makes one. It looks
// for the directory again before each name that it tries: the tenant that took the
// first name meanwhile may be the one with the directory.
func adoptOrMake(ctx context.Context, tx pgx.Tx, t LegacyTenant) (Imported, error) {
	name := workspace.LegacyName("Tenant", t.DisplayName, t.LegacyID)
	for _, name := range []string{name, workspace.Apart(name, t.LegacyID)} {
		adopted, err := maybe[kept](ctx, tx, adoptTenant, t.WorkspaceID, t.DirectoryID, t.LegacyID)
		if err != nil {
			return Imported{}, fmt.Errorf("adopt tenant: %w", err)
		}
		if adopted != nil {
			return Imported{adopted.ID, adopted.Name, workspace.Adopted}, nil
		}
		if err := directoryFree(ctx, tx, t); err != nil {
			return Imported{}, err
		}
		made, err := maybe[kept](ctx, tx, importTenantAs, t.LegacyID, t.WorkspaceID, name, t.DirectoryID, t.PrimaryDomain, t.Cloud)
		if err != nil {
			return Imported{}, fmt.Errorf("import tenant: %w", err)
		}
		if made != nil {
			return Imported{made.ID, made.Name, workspace.Created}, nil
		}
	}
	return Imported{}, nameTaken("TENANT_EXISTS")
}

// directoryFree refuses a directory that was imported with another legacy tenant.
func directoryFree(ctx context.Context, tx pgx.Tx, t LegacyTenant) error {
	other, err := maybe[struct{ ID, LegacyID int64 }](ctx, tx, readTenantInTheWay, t.WorkspaceID, t.DirectoryID)
	if err != nil {
		return fmt.Errorf("read tenant in the way: %w", err)
	}
	if other == nil {
		return nil
	}
	return errs.Exists("TENANT_EXISTS", "the workspace has a tenant of that directory already, imported as legacy tenant %d", other.LegacyID).
		With("field", "directory_id").With("tenant_id", strconv.FormatInt(other.ID, 10)).With("legacy_id", strconv.FormatInt(other.LegacyID, 10))
}

const standInWorkspaceFor = `-- store.standInWorkspaces
	insert into workspace (id, display_name, legacy_id) overriding system value
	select -l, gen_random_uuid()::text, l from unnest($1::bigint[]) l
	on conflict do nothing`

// standInWorkspaces makes the legacy workspaces that are not imported yet, for a
// rehearsal. Their ids are negative.
func standInWorkspaces(ctx context.Context, tx pgx.Tx, legacy []int64) error {
	if _, err := tx.Exec(ctx, standInWorkspaceFor, legacy); err != nil {
		return fmt.Errorf("stand-in workspaces: %w", err)
	}
	return nil
}
