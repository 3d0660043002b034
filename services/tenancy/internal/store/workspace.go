package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

const insertWorkspace = `-- store.insertWorkspace
	insert into workspace (display_name) values ($1)
	returning id, display_name, created_at, updated_at`

// Founded is a new workspace with its first owner.
type Founded struct {
	Workspace workspace.Workspace
	Owner     workspace.User
}

// CreateWorkspace makes a workspace with its first owner.
func (s *Store) CreateWorkspace(ctx context.Context, by workspace.By, r once.Request, name string, owner workspace.User) (Founded, error) {
	var f Founded
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var err error
		f, err = once.Do(ctx, tx, 0, r, func() (Founded, error) { return found(ctx, tx, by, name, owner) })
		return err
	})
	return f, named(err, "workspace_named_once", "WORKSPACE_EXISTS", "there is a workspace of that name")
}

func found(ctx context.Context, tx pgx.Tx, by workspace.By, name string, owner workspace.User) (f Founded, err error) {
	if f.Workspace, err = one[workspace.Workspace](ctx, tx, insertWorkspace, name); err != nil {
		return f, fmt.Errorf("insert workspace: %w", err)
	}
	id := f.Workspace.ID
	if f.Owner, err = insertUser(ctx, tx, id, owner); err != nil {
		return f, err
	}
	if _, err = insertMember(ctx, tx, id, f.Owner.ID, workspace.Owner); err != nil {
		return f, err
	}
	return f, record(ctx, tx, by, change{
		workspaceID: id, action: "workspace.create", kind: "workspace", id: id,
		detail: map[string]any{"display_name": name, "owner_user_id": f.Owner.ID},
	})
}

const renameWorkspace = `-- store.renameWorkspace
	update workspace set display_name = $2, updated_at = now() where id = $1
	returning id, display_name, created_at, updated_at`

// RenameWorkspace gives a workspace another name.
func (s *Store) RenameWorkspace(ctx context.Context, by workspace.By, r once.Request, id int64, name string) (workspace.Workspace, error) {
	var w workspace.Workspace
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var err error
		w, err = once.Do(ctx, tx, id, r, func() (workspace.Workspace, error) { return rename(ctx, tx, by, id, name) })
		return err
	})
	return w, named(err, "workspace_named_once", "WORKSPACE_EXISTS", "there is a workspace of that name")
}

func rename(ctx context.Context, tx pgx.Tx, by workspace.By, id int64, name string) (workspace.Workspace, error) {
	w, err := one[workspace.Workspace](ctx, tx, renameWorkspace, id, name)
	if err != nil {
		return w, missing(err, "workspace")
	}
	return w, record(ctx, tx, by, change{
		workspaceID: id, action: "workspace.update", kind: "workspace", id: id,
		detail: map[string]any{"display_name": name},
	})
}

const readWorkspace = `-- store.readWorkspace
	select id, display_name, created_at, updated_at from workspace where id = $1`

// Workspace reads one workspace.
func (s *Store) Workspace(ctx context.Context, id int64) (workspace.Workspace, error) {
	w, err := one[workspace.Workspace](ctx, s.db, readWorkspace, id)
	return w, missing(err, "workspace")
}

const readWorkspaceNamed = `-- store.readWorkspaceNamed
	select id, display_name, created_at, updated_at from workspace where display_name = $1`

// WorkspaceNamed reads the workspace with the name.
func (s *Store) WorkspaceNamed(ctx context.Context, name string) (workspace.Workspace, error) {
	w, err := one[workspace.Workspace](ctx, s.db, readWorkspaceNamed, name)
	return w, missing(err, "workspace")
}

const listWorkspaces = `-- store.listWorkspaces
	select id, display_name, created_at, updated_at from workspace where id > $1 order by id limit $2`

// Workspaces lists every workspace, by id.
func (s *Store) Workspaces(ctx context.Context, p page.Page[int64]) ([]workspace.Workspace, error) {
	return many[workspace.Workspace](ctx, s.db, listWorkspaces, p.After, p.Limit)
}

const listWorkspacesOf = `-- store.listWorkspacesOf
	select id, display_name, created_at, updated_at from workspace
	where id = any($3) and id > $1 order by id limit $2`

// WorkspacesOf lists those of ids that exist, by id.
func (s *Store) WorkspacesOf(ctx context.Context, ids []int64, p page.Page[int64]) ([]workspace.Workspace, error) {
	return many[workspace.Workspace](ctx, s.db, listWorkspacesOf, p.After, p.Limit, ids)
}

// missing turns "no rows" into NotFound and returns other errors unchanged.
func missing(err error, resource string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.NotFound(resource)
	}
	return err
}

// named turns a violation of constraint into Exists, with a reason and a sentence. It
// returns other errors unchanged.
func named(err error, constraint, reason, sentence string) error {
	if err != nil && pg.Constraint(err) == constraint {
		return errs.Exists(reason, "%s", sentence).Wrap(err)
	}
	return err
}
