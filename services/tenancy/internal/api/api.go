// Package api is tenancy's gRPC face: it checks what the proto cannot say, and
// turns wire into domain and back. It holds no SQL and speaks to no authority
// itself.
package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

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

// by is who makes the call, with their role in the workspace. A service that
// acts for itself is the platform's operator: it may what an owner may.
func by(ctx context.Context, workspaceID int64) workspace.By {
	b := workspace.By{Service: rpc.CallerFrom(ctx).Service, Role: workspace.Owner, RequestID: rpc.RequestIDFrom(ctx)}
	if a, ok := actor.From(ctx); ok {
		role, _ := a.Role(workspaceID)
		b.UserID, b.Name, b.Role = a.UserID, a.Name, workspace.Role(role)
	}
	return b
}

// once is what makes saying a call twice do it once: the digest covers who and
// what, but not the request id itself.
func once(b workspace.By, requestID string, method string, body proto.Message) (store.Once, error) {
	if requestID == "" {
		return store.Once{}, nil
	}
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(body)
	if err != nil {
		return store.Once{}, fmt.Errorf("digest of %s: %w", method, err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%d|%s", method, b.UserID, wire))
	return store.Once{Service: b.Service, RequestID: requestID, Digest: sum[:]}, nil
}

// list is one page being asked for; binding is what the list is of.
type list struct {
	pages   *page.Sealer
	binding string
	store.Page
}

// asked is implemented by the requests of all lists.
type asked interface {
	GetPageSize() int32
	GetPageToken() string
}

func (a *API) list(req asked, format string, args ...any) (list, error) {
	l := list{pages: a.Pages, binding: fmt.Sprintf(format, args...)}
	size, err := page.Size(req.GetPageSize())
	if err != nil {
		return l, err
	}
	l.Limit = size + 1 // the one more says whether there is a next page
	if req.GetPageToken() != "" {
		err = l.pages.Open(req.GetPageToken(), l.binding, &l.After)
	}
	return l, err
}

// finish turns what was read for l into its page and the token of the next one.
func finish[T, W any](l list, read []T, id func(T) int64, wire func(T) W) (out []W, next string, err error) {
	if len(read) == l.Limit {
		read = read[:l.Limit-1]
		if next, err = l.pages.Seal(l.binding, id(read[len(read)-1])); err != nil {
			return nil, "", err
		}
	}
	for _, v := range read {
		out = append(out, wire(v))
	}
	return out, next, nil
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

// nobody is the answer to a call that only makes sense for an end user.
func nobody() error {
	return errs.Unauthenticated("ACTOR_MISSING", "the call does not say which user it is for")
}
