// Package tenants is the client side of tenancy, for every service that works for
// tenants: it knows whether a tenant exists. Speaking to a tenant's Graph is the
// package connect below this one, so that a service that only asks for existence
// has nothing of Graph in it.
package tenants

import (
	"context"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/grpc"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
)

const (
	believed   = 30 * time.Second
	maxTenants = 10_000
)

type key struct{ workspaceID, id int64 }

// Checker checks that tenants exist, by asking tenancy. It is safe for
// concurrent use.
type Checker struct {
	client tenancyv1.TenantReaderServiceClient
	now    func() time.Time

	// When tenancy last said that a tenant exists. The library's own expiring cache
	// does not fit: it starts a goroutine that nobody can end.
	seen *lru.Cache[key, time.Time]
}

// New returns a Checker that asks tenancy over conn.
func New(conn grpc.ClientConnInterface) *Checker {
	seen, _ := lru.New[key, time.Time](maxTenants) // fails only for a size below one
	return &Checker{client: tenancyv1.NewTenantReaderServiceClient(conn), now: time.Now, seen: seen}
}

// Exists returns tenancy's NotFound if the workspace has no such tenant. It
// believes for 30 s that a tenant still exists, so that a person who reads page
// after page does not cost a call for each. It never remembers that a tenant does
// not exist.
func (c *Checker) Exists(ctx context.Context, workspaceID, id int64) error {
	if at, ok := c.seen.Get(key{workspaceID, id}); ok && c.now().Sub(at) < believed {
		return nil
	}
	return c.ExistsNow(ctx, workspaceID, id)
}

// ExistsNow is [Checker.Exists] that always asks tenancy: for a call that starts work.
func (c *Checker) ExistsNow(ctx context.Context, workspaceID, id int64) error {
	_, err := c.client.GetTenant(ctx, &tenancyv1.GetTenantRequest{WorkspaceId: workspaceID, TenantId: id})
	if err != nil {
		return err
	}
	c.seen.Add(key{workspaceID, id}, c.now())
	return nil
}
