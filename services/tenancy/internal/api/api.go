// Package api is tenancy's gRPC services: it checks what the protos cannot say, and
// turns messages into domain types and back. It holds no SQL, and it calls no
// sign-in authority itself.
package api

import (
	"context"
	"time"

	"google.golang.org/grpc"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/graphtoken"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/seal"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/store"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// API serves every gRPC service of tenancy.
type API struct {
	tenancyv1.UnsafeWorkspaceServiceServer
	tenancyv1.UnsafeWorkspaceReaderServiceServer
	tenancyv1.UnsafeTenantServiceServer
	tenancyv1.UnsafeTenantReaderServiceServer
	tenancyv1.UnsafeApiTokenServiceServer
	tenancyv1.UnsafeIdentityServiceServer
	tenancyv1.UnsafeGraphTokenServiceServer
	tenancyv1.UnsafeImportServiceServer

	Store *store.Store
	Box   *seal.Box
	Graph *graphtoken.Issuer
	Pages *page.Sealer
	Now   func() time.Time
}

// Register adds the services to r.
func (a *API) Register(r grpc.ServiceRegistrar) {
	tenancyv1.RegisterWorkspaceServiceServer(r, a)
	tenancyv1.RegisterWorkspaceReaderServiceServer(r, a)
	tenancyv1.RegisterTenantServiceServer(r, a)
	tenancyv1.RegisterTenantReaderServiceServer(r, a)
	tenancyv1.RegisterApiTokenServiceServer(r, a)
	tenancyv1.RegisterIdentityServiceServer(r, a)
	tenancyv1.RegisterGraphTokenServiceServer(r, a)
	tenancyv1.RegisterImportServiceServer(r, a)
}

// by returns who makes the call, with their role in the workspace. A service that
// calls for itself is the platform's operator, who may do what an owner may.
func by(ctx context.Context, workspaceID int64) workspace.By {
	b := workspace.By{Service: rpc.CallerFrom(ctx).Service, Role: workspace.Owner, RequestID: rpc.RequestIDFrom(ctx)}
	if a, ok := actor.From(ctx); ok {
		role, _ := a.Role(workspaceID)
		b.UserID, b.Name, b.Role = a.UserID, a.Name, workspace.Role(role)
	}
	return b
}

func roleOf(r tenancyv1.Role) workspace.Role {
	switch r {
	case tenancyv1.Role_ROLE_READONLY:
		return workspace.Readonly
	case tenancyv1.Role_ROLE_OPERATOR:
		return workspace.Operator
	case tenancyv1.Role_ROLE_MANAGER:
		return workspace.Manager
	case tenancyv1.Role_ROLE_OWNER:
		return workspace.Owner
	}
	return ""
}

func wireRole(r workspace.Role) tenancyv1.Role {
	switch r {
	case workspace.Readonly:
		return tenancyv1.Role_ROLE_READONLY
	case workspace.Operator:
		return tenancyv1.Role_ROLE_OPERATOR
	case workspace.Manager:
		return tenancyv1.Role_ROLE_MANAGER
	case workspace.Owner:
		return tenancyv1.Role_ROLE_OWNER
	}
	return tenancyv1.Role_ROLE_UNSPECIFIED
}

// nobody is the error of a call that only makes sense for an end user.
func nobody() error {
	return errs.Unauthenticated("ACTOR_MISSING", "the call does not say which user it is for")
}
