// Package graphtoken signs in to tenants: it turns a client secret into a short-lived
// Microsoft Graph token. It remembers tokens, and refusals, as long as they are good.
// It stores nothing, and its errors never hold a secret, a token or a response of the
// authority.
package graphtoken

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/tenantpilot/tenantpilot/pkg/rpc/roots"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
)

// Config replaces the authority and the Graph of every tenant, by a simulator's or a
// proxy's. Empty fields leave those of the tenant's cloud.
type Config struct {
	AuthorityOverride string // https
	GraphOverride     string // https
	ExtraCA           string // a PEM file of authorities to trust beside the system's
}

// Token is an access token. Printing it does not show it.
type Token struct {
	Value     string
	ExpiresAt time.Time
}

// Format keeps the value out of every log and error.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[token]")) }

// Connection is how to sign in to one tenant.
type Connection struct {
	WorkspaceID, TenantID int64
	DirectoryID           string
	ClientID              string
	Secret                string
	Generation            string // another one whenever client or secret are set
	Hosts                 tenant.Hosts
}

// Issuer issues tokens. It is safe for concurrent use.
type Issuer struct {
	cfg    Config
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	desks map[key]*desk
}

type key struct{ workspaceID, tenantID int64 }

// New returns an Issuer. It fails if an override is not an https address or the CA
// file cannot be read.
func New(cfg Config) (*Issuer, error) {
	for _, override := range []string{cfg.AuthorityOverride, cfg.GraphOverride} {
		u, err := url.Parse(override)
		if err != nil || override != "" && (u.Scheme != "https" || u.Host == "") {
			return nil, fmt.Errorf("override %q: want an https address", override)
		}
	}
	trusted, err := trust(cfg.ExtraCA)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	client := &http.Client{
		// The trace travels with the request. Baggage does not: it is not Microsoft's business.
		Transport:     otelhttp.NewTransport(transport, otelhttp.WithPropagators(propagation.TraceContext{})),
		CheckRedirect: stay,
	}
	return &Issuer{cfg: cfg, client: client, now: time.Now, desks: map[key]*desk{}}, nil
}

// stay follows no redirect, because the request holds the secret.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func trust(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's own
	}
	pool, err := roots.WithSystem(file)
	if err != nil {
		return nil, fmt.Errorf("extra CA: %w", err)
	}
	return pool, nil
}

// Hosts returns the addresses where tenants of a cloud sign in and where their Graph
// is.
func (i *Issuer) Hosts(c tenant.Cloud) tenant.Hosts {
	h := c.Hosts()
	if i.cfg.AuthorityOverride != "" {
		h.Authority = i.cfg.AuthorityOverride
	}
	if i.cfg.GraphOverride != "" {
		h.Graph = i.cfg.GraphOverride
	}
	return h
}

// Token returns a token for c, a remembered one if it is good for a while. With force
// it asks the authority for a new one, because Graph has refused the last. Even then
// it does not ask if the authority has just refused c.
func (i *Issuer) Token(ctx context.Context, c Connection, force bool) (Token, error) {
	asked := i.now()
	d := i.desk(key{c.WorkspaceID, c.TenantID})
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
	if a, good := d.remembered(c.Generation, i.now(), force, asked); good {
		return a.token, a.err
	}
	t, err := i.signInWithin(ctx, c)
	if ctx.Err() != nil {
		return Token{}, ctx.Err() // nothing to remember of the tenant
	}
	d.remember(c.Generation, i.now(), t, err)
	return t, err
}

// signInWithin gives up early enough for the caller to learn that the authority does
// not respond.
func (i *Issuer) signInWithin(ctx context.Context, c Connection) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return i.signIn(ctx, c)
}

// Forget drops what is remembered of a tenant that was deleted.
func (i *Issuer) Forget(workspaceID, tenantID int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.desks, key{workspaceID, tenantID})
}

// Close closes idle connections.
func (i *Issuer) Close() { i.client.CloseIdleConnections() }

func (i *Issuer) desk(k key) *desk {
	i.mu.Lock()
	defer i.mu.Unlock()
	d := i.desks[k]
	if d == nil {
		d = &desk{turn: make(chan struct{}, 1)}
		i.desks[k] = d
	}
	return d
}
