package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/token"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// CreateApiToken makes a token and returns its text, which is never shown again.
func (a *API) CreateApiToken(ctx context.Context, req *tenancyv1.CreateApiTokenRequest) (*tenancyv1.CreateApiTokenResponse, error) {
	who := by(ctx, req.GetWorkspaceId())
	userID := who.UserID
	if req.UserId != nil {
		userID = req.GetUserId()
	}
	if userID == 0 {
		return nil, errs.Invalid("user_id", "must name the member whose token it is")
	}
	name, err := workspace.Name("display_name", req.GetDisplayName())
	if err != nil {
		return nil, err
	}
	asked, err := instant("expire_time", req.GetExpireTime())
	if err != nil {
		return nil, err
	}
	expires, err := workspace.TokenExpiry(asked, a.Now())
	if err != nil {
		return nil, err
	}
	secret := token.New()
	t, err := a.Store.CreateToken(ctx, who, workspace.APIToken{
		WorkspaceID: req.GetWorkspaceId(), UserID: userID, DisplayName: name,
		KeyID: secret.KeyID(), MaxRole: roleOf(req.GetMaxRole()), ExpiresAt: expires,
	}, secret.Hash())
	if err != nil {
		return nil, err
	}
	return &tenancyv1.CreateApiTokenResponse{ApiToken: wireToken(t), Secret: secret.Reveal()}, nil
}

// ListApiTokens returns the end user's tokens, and everyone's to an owner.
func (a *API) ListApiTokens(ctx context.Context, req *tenancyv1.ListApiTokensRequest) (*tenancyv1.ListApiTokensResponse, error) {
	who := by(ctx, req.GetWorkspaceId())
	own := who.Administer() != nil
	l, err := page.Begin[int64](a.Pages, req, "tokens|%d|%d|%t", req.GetWorkspaceId(), who.UserID, own)
	if err != nil {
		return nil, err
	}
	if err := a.exists(ctx, req.GetWorkspaceId()); err != nil {
		return nil, err
	}
	var read []workspace.APIToken
	if own {
		read, err = a.Store.TokensOf(ctx, req.GetWorkspaceId(), who.UserID, l.Page)
	} else {
		read, err = a.Store.Tokens(ctx, req.GetWorkspaceId(), l.Page)
	}
	if err != nil {
		return nil, err
	}
	out, next, err := page.Finish(l, read, func(t workspace.APIToken) int64 { return t.ID }, wireToken)
	return &tenancyv1.ListApiTokensResponse{ApiTokens: out, NextPageToken: next}, err
}

// RevokeApiToken ends a token: it does not work any more.
func (a *API) RevokeApiToken(ctx context.Context, req *tenancyv1.RevokeApiTokenRequest) (*tenancyv1.RevokeApiTokenResponse, error) {
	t, err := a.Store.RevokeToken(ctx, by(ctx, req.GetWorkspaceId()), req.GetWorkspaceId(), req.GetApiTokenId())
	if err != nil {
		return nil, err
	}
	return &tenancyv1.RevokeApiTokenResponse{ApiToken: wireToken(t)}, nil
}

// ResolveApiToken returns the user whom a token stands for. Whatever is wrong with a
// token, the error is the same.
func (a *API) ResolveApiToken(ctx context.Context, req *tenancyv1.ResolveApiTokenRequest) (*tenancyv1.ResolveApiTokenResponse, error) {
	invalid := errs.Unauthenticated("TOKEN_INVALID", "the API token is not valid, or no longer")
	secret, err := token.Parse(req.GetToken())
	if err != nil {
		return nil, invalid
	}
	held, err := a.Store.Token(ctx, secret.KeyID())
	if err != nil {
		return nil, err
	}
	if held == nil || !secret.Matches(held.Hash) {
		return nil, invalid
	}
	if held.Stale {
		if err := a.Store.UseToken(ctx, held.TokenID); err != nil {
			return nil, err
		}
	}
	return &tenancyv1.ResolveApiTokenResponse{
		User:        wireUser(held.User),
		KeyId:       secret.KeyID(),
		Memberships: []*tenancyv1.Membership{{WorkspaceId: held.WorkspaceID, Role: wireRole(held.Role)}},
	}, nil
}

func wireToken(t workspace.APIToken) *tenancyv1.ApiToken {
	return &tenancyv1.ApiToken{
		Id: t.ID, WorkspaceId: t.WorkspaceID, UserId: t.UserID, DisplayName: t.DisplayName, KeyId: t.KeyID,
		MaxRole: wireRole(t.MaxRole), ExpireTime: timestamppb.New(t.ExpiresAt), RevokeTime: wireTime(t.RevokedAt),
		LastUseTime: wireTime(t.LastUsedAt), CreateTime: timestamppb.New(t.CreatedAt),
	}
}
