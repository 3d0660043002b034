package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/graphtoken"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
)

// IssueGraphToken returns an access token for a tenant. It reads the connection
// every time, so it never returns a token that was remembered for a connection that
// has since been changed or deleted.
func (a *API) IssueGraphToken(ctx context.Context, req *tenancyv1.IssueGraphTokenRequest) (*tenancyv1.IssueGraphTokenResponse, error) {
	c, err := a.connection(ctx, req.GetWorkspaceId(), req.GetTenantId())
	if err != nil {
		return nil, err
	}
	t, err := a.Graph.Token(ctx, c, req.GetForceRefresh())
	if err != nil {
		return nil, err
	}
	return &tenancyv1.IssueGraphTokenResponse{
		AccessToken: t.Value, ExpireTime: timestamppb.New(t.ExpiresAt),
		GraphUrl: c.Hosts.Graph, DirectoryId: c.DirectoryID,
	}, nil
}

func (a *API) connection(ctx context.Context, workspaceID, tenantID int64) (graphtoken.Connection, error) {
	none := graphtoken.Connection{}
	t, err := a.Store.Tenant(ctx, workspaceID, tenantID)
	if err != nil {
		return none, err
	}
	if t.Connection == nil {
		return none, errs.Conflict("TENANT_AUTH", "the tenant has no Graph connection").
			With("code", "NO_CONNECTION").With("remediation", "set the tenant's client id and client secret")
	}
	cred, err := a.Store.Credential(ctx, workspaceID, tenantID)
	if err != nil {
		return none, err
	}
	secret, err := a.Box.Open(cred.Sealed, tenant.Binding(workspaceID, tenantID))
	if err != nil {
		return none, err
	}
	return graphtoken.Connection{
		WorkspaceID: workspaceID, TenantID: tenantID, DirectoryID: t.DirectoryID,
		ClientID: cred.ClientID, Secret: secret, Generation: cred.ClientID + string(cred.Sealed),
		Hosts: a.Graph.Hosts(t.Cloud),
	}, nil
}
