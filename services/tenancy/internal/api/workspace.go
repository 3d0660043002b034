package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// CreateWorkspace makes a workspace with its first owner.
func (a *API) CreateWorkspace(ctx context.Context, req *tenancyv1.CreateWorkspaceRequest) (*tenancyv1.CreateWorkspaceResponse, error) {
	name, err := workspace.Name("display_name", req.GetDisplayName())
	if err != nil {
		return nil, err
	}
	owner, err := workspace.Name("owner_display_name", req.GetOwnerDisplayName())
	if err != nil {
		return nil, err
	}
	who := by(ctx, 0)
	r, err := once.Of(ctx, req)
	if err != nil {
		return nil, err
	}
	f, err := a.Store.CreateWorkspace(ctx, who, r, name, workspace.User{DisplayName: owner, Email: req.GetOwnerEmail()})
	if err != nil {
		return nil, err
	}
	return &tenancyv1.CreateWorkspaceResponse{Workspace: wireWorkspace(f.Workspace), Owner: wireUser(f.Owner)}, nil
}

// UpdateWorkspace renames a workspace.
func (a *API) UpdateWorkspace(ctx context.Context, req *tenancyv1.UpdateWorkspaceRequest) (*tenancyv1.UpdateWorkspaceResponse, error) {
	name, err := workspace.Name("display_name", req.GetDisplayName())
	if err != nil {
		return nil, err
	}
	who := by(ctx, req.GetWorkspaceId())
	r, err := once.Of(ctx, req)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.RenameWorkspace(ctx, who, r, req.GetWorkspaceId(), name)
	if err != nil {
		return nil, err
	}
	return &tenancyv1.UpdateWorkspaceResponse{Workspace: wireWorkspace(w)}, nil
}

// GetWorkspace returns one workspace.
func (a *API) GetWorkspace(ctx context.Context, req *tenancyv1.GetWorkspaceRequest) (*tenancyv1.GetWorkspaceResponse, error) {
	w, err := a.Store.Workspace(ctx, req.GetWorkspaceId())
	if err != nil {
		return nil, err
	}
	return &tenancyv1.GetWorkspaceResponse{Workspace: wireWorkspace(w)}, nil
}

// ListWorkspaces returns the end user's workspaces, and all of them to the operator.
func (a *API) ListWorkspaces(ctx context.Context, req *tenancyv1.ListWorkspacesRequest) (*tenancyv1.ListWorkspacesResponse, error) {
	user, acted := actor.From(ctx)
	if !acted && rpc.CallerFrom(ctx).Service != "operator" {
		return nil, nobody()
	}
	l, err := page.Begin[int64](a.Pages, req, "workspaces|%d", user.UserID)
	if err != nil {
		return nil, err
	}
	read, err := a.workspaces(ctx, user, acted, l.Page)
	if err != nil {
		return nil, err
	}
	out, next, err := page.Finish(l, read, func(w workspace.Workspace) int64 { return w.ID }, wireWorkspace)
	return &tenancyv1.ListWorkspacesResponse{Workspaces: out, NextPageToken: next}, err
}

func (a *API) workspaces(ctx context.Context, user actor.Actor, acted bool, p page.Page[int64]) ([]workspace.Workspace, error) {
	if !acted {
		return a.Store.Workspaces(ctx, p)
	}
	return a.Store.WorkspacesOf(ctx, memberOf(user), p)
}

// memberOf returns the ids of a user's workspaces. They are never nil, which would
// stand for every workspace.
func memberOf(user actor.Actor) []int64 {
	ids := make([]int64, len(user.Memberships))
	for i, m := range user.Memberships {
		ids[i] = m.WorkspaceID
	}
	return ids
}

func wireWorkspace(w workspace.Workspace) *tenancyv1.Workspace {
	return &tenancyv1.Workspace{
		Id: w.ID, DisplayName: w.DisplayName,
		CreateTime: timestamppb.New(w.CreatedAt), UpdateTime: timestamppb.New(w.UpdatedAt),
	}
}

func wireUser(u workspace.User) *tenancyv1.User {
	return &tenancyv1.User{Id: u.ID, DisplayName: u.DisplayName, Email: u.Email, CreateTime: timestamppb.New(u.CreatedAt)}
}
