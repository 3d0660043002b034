package api

import (
	"context"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
)

const (
	believed   = 30 * time.Second
	maxTenants = 10_000
)

type tenantKey struct{ workspaceID, id int64 }

// tenants knows which tenants there are, by asking tenancy. That one exists is
// believed for a short while, so that browsing does not ask for every page; that
// one does not is never remembered.
type tenants struct {
	client tenancyv1.TenantReaderServiceClient
	now    func() time.Time

	// When each was last seen. The library's own expiring cache is no use here: it
	// starts a goroutine that nobody can end.
	seen *lru.Cache[tenantKey, time.Time]
}

func newTenants(client tenancyv1.TenantReaderServiceClient) *tenants {
	seen, _ := lru.New[tenantKey, time.Time](maxTenants) // fails for a size below one only
	return &tenants{client: client, now: time.Now, seen: seen}
}

// exists returns tenancy's NotFound if the workspace has no such tenant.
func (t *tenants) exists(ctx context.Context, workspaceID, id int64) error {
	key := tenantKey{workspaceID, id}
	if t.known(key) {
		return nil
	}
	if err := t.ask(ctx, workspaceID, id); err != nil {
		return err
	}
	t.seen.Add(key, t.now())
	return nil
}

func (t *tenants) known(key tenantKey) bool {
	at, ok := t.seen.Get(key)
	return ok && t.now().Sub(at) < believed
}

// ask is exists without the memory: what starts work wants to be sure.
func (t *tenants) ask(ctx context.Context, workspaceID, id int64) error {
	_, err := t.client.GetTenant(ctx, &tenancyv1.GetTenantRequest{WorkspaceId: workspaceID, TenantId: id})
	return err
}
