package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// AddMember gives a user a role in the workspace.
func (a *API) AddMember(ctx context.Context, req *tenancyv1.AddMemberRequest) (*tenancyv1.AddMemberResponse, error) {
	n, err := newMember(ctx, req)
	if err != nil {
		return nil, err
	}
	who := by(ctx, req.GetWorkspaceId())
	r, err := once.Of(ctx, req)
	if err != nil {
		return nil, err
	}
	m, err := a.Store.AddMember(ctx, who, r, n)
	if err != nil {
		return nil, err
	}
	return &tenancyv1.AddMemberResponse{Member: wireMember(m)}, nil
}

func newMember(ctx context.Context, req *tenancyv1.AddMemberRequest) (n store.NewMember, err error) {
	n = store.NewMember{WorkspaceID: req.GetWorkspaceId(), UserID: req.GetUserId(), Role: roleOf(req.GetRole())}
	if user, acted := actor.From(ctx); acted {
		n.Among = memberOf(user)
	}
	switch {
	case req.UserId == nil:
		n.User.Email = req.GetEmail()
		n.User.DisplayName, err = workspace.Name("display_name", req.GetDisplayName())
	case req.GetDisplayName() != "":
		err = errs.Invalid("display_name", "belongs to a new user: leave it out or leave user_id out")
	case req.GetEmail() != "":
		err = errs.Invalid("email", "belongs to a new user: leave it out or leave user_id out")
	}
	return n, err
}

// UpdateMember changes a role.
func (a *API) UpdateMember(ctx context.Context, req *tenancyv1.UpdateMemberRequest) (*tenancyv1.UpdateMemberResponse, error) {
	id := req.GetWorkspaceId()
	m, err := a.Store.SetRole(ctx, by(ctx, id), id, req.GetUserId(), roleOf(req.GetRole()))
	if err != nil {
		return nil, err
	}
	return &tenancyv1.UpdateMemberResponse{Member: wireMember(m)}, nil
}

// RemoveMember ends a membership and revokes the user's API tokens in the workspace.
func (a *API) RemoveMember(ctx context.Context, req *tenancyv1.RemoveMemberRequest) (*tenancyv1.RemoveMemberResponse, error) {
	id := req.GetWorkspaceId()
	if err := a.Store.RemoveMember(ctx, by(ctx, id), id, req.GetUserId()); err != nil {
		return nil, err
	}
	return &tenancyv1.RemoveMemberResponse{}, nil
}

// ListMembers returns a page of the members of a workspace.
func (a *API) ListMembers(ctx context.Context, req *tenancyv1.ListMembersRequest) (*tenancyv1.ListMembersResponse, error) {
	l, err := page.Begin[int64](a.Pages, req, "members|%d", req.GetWorkspaceId())
	if err != nil {
		return nil, err
	}
	if err := a.exists(ctx, req.GetWorkspaceId()); err != nil {
		return nil, err
	}
	read, err := a.Store.Members(ctx, req.GetWorkspaceId(), l.Page)
	if err != nil {
		return nil, err
	}
	out, next, err := page.Finish(l, read, func(m workspace.Member) int64 { return m.UserID }, wireMember)
	return &tenancyv1.ListMembersResponse{Members: out, NextPageToken: next}, err
}

// exists returns NotFound if there is no such workspace, for calls without an end
// user: no membership was checked for them, and an empty list would look as if the
// workspace existed.
func (a *API) exists(ctx context.Context, workspaceID int64) error {
	if _, acted := actor.From(ctx); acted {
		return nil
	}
	_, err := a.Store.Workspace(ctx, workspaceID)
	return err
}

func wireMember(m workspace.Member) *tenancyv1.Member {
	w := &tenancyv1.Member{
		WorkspaceId: m.WorkspaceID, UserId: m.UserID, DisplayName: m.DisplayName, Email: m.Email,
		Role: wireRole(m.Role), CreateTime: timestamppb.New(m.CreatedAt), Claimed: m.Claimed(), LegacyId: m.LegacyID,
	}
	if id := m.Identity(); id != (workspace.Identity{}) {
		w.Identity = &tenancyv1.Identity{Issuer: id.Issuer, Subject: id.Subject}
	}
	return w
}
