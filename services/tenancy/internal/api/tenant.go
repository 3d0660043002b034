package api

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// CreateTenant adds a tenant to a workspace.
func (a *API) CreateTenant(ctx context.Context, req *tenancyv1.CreateTenantRequest) (*tenancyv1.CreateTenantResponse, error) {
	name, err := workspace.Name("display_name", req.GetDisplayName())
	if err != nil {
		return nil, err
	}
	directory, err := tenant.Directory(req.GetDirectoryId())
	if err != nil {
		return nil, err
	}
	if err := a.exists(ctx, req.GetWorkspaceId()); err != nil {
		return nil, err
	}
	who := by(ctx, req.GetWorkspaceId())
	r, err := once.Of(ctx, req)
	if err != nil {
		return nil, err
	}
	t := tenant.Tenant{
		WorkspaceID: req.GetWorkspaceId(), DisplayName: name, DirectoryID: directory,
		PrimaryDomain: req.GetPrimaryDomain(), Cloud: cloudOf(req.GetNationalCloud()),
	}
	if t.ID, err = a.Store.NextTenantID(ctx); err != nil {
		return nil, err
	}
	c, err := a.credential(req.GetClientSecret(), t.WorkspaceID, t.ID)
	if err != nil {
		return nil, err
	}
	if t, err = a.Store.CreateTenant(ctx, who, r, t, c); err != nil {
		return nil, err
	}
	return &tenancyv1.CreateTenantResponse{Tenant: wireTenant(t)}, nil
}

// credential seals a secret for the tenant's row. It returns nil if there is none.
func (a *API) credential(s *tenancyv1.ClientSecret, workspaceID, tenantID int64) (*tenant.Credential, error) {
	if s == nil {
		return nil, nil // may be set later
	}
	if err := unpadded("client_secret.client_id", s.GetClientId()); err != nil {
		return nil, err
	}
	if err := unpadded("client_secret.secret", s.GetSecret()); err != nil {
		return nil, err
	}
	expires, err := instant("client_secret.expire_time", s.GetExpireTime())
	if err != nil {
		return nil, err
	}
	if expires != nil && !expires.After(a.Now()) {
		return nil, errs.Invalid("client_secret.expire_time", "is in the past: the secret would not work")
	}
	sealed, err := a.Box.Seal(s.GetSecret(), tenant.Binding(workspaceID, tenantID))
	if err != nil {
		return nil, err
	}
	return &tenant.Credential{ClientID: s.GetClientId(), Sealed: sealed, SecretExpiresAt: expires}, nil
}

// unpadded refuses a text with a blank or a line end around it, which comes from
// copying: Entra would refuse it later, and nobody would see why.
func unpadded(field, text string) error {
	if strings.TrimSpace(text) != text {
		return errs.Invalid(field, "must not begin or end with a blank or a line break")
	}
	return nil
}

// UpdateTenant renames a tenant.
func (a *API) UpdateTenant(ctx context.Context, req *tenancyv1.UpdateTenantRequest) (*tenancyv1.UpdateTenantResponse, error) {
	r := store.Rename{PrimaryDomain: req.GetPrimaryDomain(), Etag: req.GetEtag()}
	if req.GetDisplayName() != "" {
		var err error
		if r.DisplayName, err = workspace.Name("display_name", req.GetDisplayName()); err != nil {
			return nil, err
		}
	}
	t, err := a.Store.UpdateTenant(ctx, by(ctx, req.GetWorkspaceId()), req.GetWorkspaceId(), req.GetTenantId(), r)
	if err != nil {
		return nil, err
	}
	return &tenancyv1.UpdateTenantResponse{Tenant: wireTenant(t)}, nil
}

// SetGraphConnection stores how to sign in to a tenant.
func (a *API) SetGraphConnection(ctx context.Context, req *tenancyv1.SetGraphConnectionRequest) (*tenancyv1.SetGraphConnectionResponse, error) {
	c, err := a.credential(req.GetClientSecret(), req.GetWorkspaceId(), req.GetTenantId())
	if err != nil {
		return nil, err
	}
	t, err := a.Store.SetConnection(ctx, by(ctx, req.GetWorkspaceId()), req.GetWorkspaceId(), req.GetTenantId(), *c)
	if err != nil {
		return nil, err
	}
	return &tenancyv1.SetGraphConnectionResponse{Tenant: wireTenant(t)}, nil
}

// DeleteTenant removes a tenant and its secret.
func (a *API) DeleteTenant(ctx context.Context, req *tenancyv1.DeleteTenantRequest) (*tenancyv1.DeleteTenantResponse, error) {
	if err := a.Store.DeleteTenant(ctx, by(ctx, req.GetWorkspaceId()), req.GetWorkspaceId(), req.GetTenantId()); err != nil {
		return nil, err
	}
	a.Graph.Forget(req.GetWorkspaceId(), req.GetTenantId())
	return &tenancyv1.DeleteTenantResponse{}, nil
}

// GetTenant returns one tenant.
func (a *API) GetTenant(ctx context.Context, req *tenancyv1.GetTenantRequest) (*tenancyv1.GetTenantResponse, error) {
	t, err := a.Store.Tenant(ctx, req.GetWorkspaceId(), req.GetTenantId())
	if err != nil {
		return nil, err
	}
	return &tenancyv1.GetTenantResponse{Tenant: wireTenant(t)}, nil
}

// ListTenants returns a page of the tenants of a workspace.
func (a *API) ListTenants(ctx context.Context, req *tenancyv1.ListTenantsRequest) (*tenancyv1.ListTenantsResponse, error) {
	l, err := page.Begin[int64](a.Pages, req, "tenants|%d", req.GetWorkspaceId())
	if err != nil {
		return nil, err
	}
	if err := a.exists(ctx, req.GetWorkspaceId()); err != nil {
		return nil, err
	}
	read, err := a.Store.Tenants(ctx, req.GetWorkspaceId(), l.Page)
	if err != nil {
		return nil, err
	}
	out, next, err := page.Finish(l, read, func(t tenant.Tenant) int64 { return t.ID }, wireTenant)
	return &tenancyv1.ListTenantsResponse{Tenants: out, NextPageToken: next}, err
}

func wireTenant(t tenant.Tenant) *tenancyv1.Tenant {
	w := &tenancyv1.Tenant{
		Id: t.ID, WorkspaceId: t.WorkspaceID, DisplayName: t.DisplayName, DirectoryId: t.DirectoryID,
		PrimaryDomain: t.PrimaryDomain, NationalCloud: wireCloud(t.Cloud), Etag: t.Etag(),
		CreateTime: timestamppb.New(t.CreatedAt), UpdateTime: timestamppb.New(t.UpdatedAt),
	}
	if c := t.Connection; c != nil {
		w.GraphConnection = &tenancyv1.GraphConnection{
			ClientId: c.ClientID, SecretSetTime: timestamppb.New(c.SecretSetAt), SecretExpireTime: wireTime(c.SecretExpiresAt),
		}
	}
	return w
}

func cloudOf(c tenancyv1.NationalCloud) tenant.Cloud {
	switch c {
	case tenancyv1.NationalCloud_NATIONAL_CLOUD_US_GOV:
		return tenant.USGov
	case tenancyv1.NationalCloud_NATIONAL_CLOUD_US_GOV_DOD:
		return tenant.USGovDoD
	case tenancyv1.NationalCloud_NATIONAL_CLOUD_CHINA:
		return tenant.China
	}
	return tenant.Global
}

func wireCloud(c tenant.Cloud) tenancyv1.NationalCloud {
	switch c {
	case tenant.Global:
		return tenancyv1.NationalCloud_NATIONAL_CLOUD_GLOBAL
	case tenant.USGov:
		return tenancyv1.NationalCloud_NATIONAL_CLOUD_US_GOV
	case tenant.USGovDoD:
		return tenancyv1.NationalCloud_NATIONAL_CLOUD_US_GOV_DOD
	case tenant.China:
		return tenancyv1.NationalCloud_NATIONAL_CLOUD_CHINA
	}
	return tenancyv1.NationalCloud_NATIONAL_CLOUD_UNSPECIFIED
}
