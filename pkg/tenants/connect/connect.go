// Package connect connects to the Graph of tenants: with the access tokens that
// tenancy issues, at the address that tenancy names, within the tenant's quotas.
// It never sees a client secret, and it does not know what is read or written.
package connect

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"google.golang.org/grpc"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/graph"
)

// Connector connects to tenants. Its clients share connections, and those of one
// tenant share its quotas. It is safe for concurrent use.
type Connector struct {
	tokens tenancyv1.GraphTokenServiceClient
	graph  graph.Config // without the address, which tenancy names per tenant

	mu    sync.Mutex
	pools map[string]*graph.Pool // by address
}

// New returns a Connector that gets tokens from tenancy over conn. Close it after
// the last use of its clients.
func New(conn grpc.ClientConnInterface, s Settings) (*Connector, error) {
	cfg, err := s.Graph()
	if err != nil {
		return nil, err
	}
	return With(tenancyv1.NewGraphTokenServiceClient(conn), cfg), nil
}

// With is [New] for a caller that has what the settings are turned into.
func With(tokens tenancyv1.GraphTokenServiceClient, cfg graph.Config) *Connector {
	return &Connector{tokens: tokens, graph: cfg, pools: map[string]*graph.Pool{}}
}

// Close drops idle connections to Graph.
func (c *Connector) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		p.Close()
	}
}

// Connect returns a client of a tenant's Graph, and its credential. It asks for
// the first access token, which brings Graph's address with it, so that a tenant
// that refuses us is found out before anything is read. The error is a
// [work.Failure] if the tenant or tenancy is why there is no connection.
func (c *Connector) Connect(ctx context.Context, workspaceID, tenantID int64) (*graph.Client, *Credential, error) {
	cred := &Credential{tokens: c.tokens, workspaceID: workspaceID, tenantID: tenantID}
	address, err := cred.first(ctx)
	if err != nil {
		return nil, nil, cred.failure(err)
	}
	p, err := c.pool(address)
	if err != nil {
		return nil, nil, fmt.Errorf("graph of tenant %d: %w", tenantID, err)
	}
	return p.Client(strconv.FormatInt(tenantID, 10), cred), cred, nil
}

// pool returns the pool for Graph at an address.
func (c *Connector) pool(address string) (*graph.Pool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.pools[address]; ok {
		return p, nil
	}
	cfg := c.graph
	cfg.BaseURL = address
	p, err := graph.NewPool(cfg)
	if err != nil {
		return nil, err
	}
	c.pools[address] = p
	return p, nil
}
