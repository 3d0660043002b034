package api

import (
	"context"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// ClaimUser sets the identity of an imported user.
func (a *API) ClaimUser(ctx context.Context, req *tenancyv1.ClaimUserRequest) (*tenancyv1.ClaimUserResponse, error) {
	id, err := workspace.NewIdentity(req.GetIdentity().GetIssuer(), req.GetIdentity().GetSubject())
	if err != nil {
		return nil, err
	}
	who := by(ctx, req.GetWorkspaceId())
	r, err := once.Of(ctx, req)
	if err != nil {
		return nil, err
	}
	m, err := a.Store.ClaimUser(ctx, who, r, req.GetWorkspaceId(), req.GetUserId(), id)
	if err != nil {
		return nil, err
	}
	return &tenancyv1.ClaimUserResponse{Member: wireMember(m)}, nil
}
