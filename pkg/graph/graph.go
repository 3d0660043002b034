// Package graph speaks Microsoft Graph: it reads what a tenant holds, byte for
// byte as Graph sent it, within the published quotas, and says precisely what
// went wrong when it could not. What it reads of a type stands in the type's entry
// in package catalog.
//
// It is not a typed SDK: payloads stay raw JSON, and it keeps nothing between
// calls but connections, tokens and the state of the quotas.
package graph

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// Config is how a service reaches Graph. Start from [DefaultConfig].
type Config struct {
	BaseURL          string         // scheme and host; the version is part of each path
	AllowedHosts     []string       // hosts a nextLink may name; empty: the host of BaseURL alone
	RootCAs          *x509.CertPool // nil: the system's
	Limits           Limits
	Retry            Retry
	MaxResponseBytes int64
	Concurrency      int // requests in flight per tenant
	UserAgent        string
}

// DefaultConfig is the public cloud with the published quotas.
func DefaultConfig() Config {
	return Config{
		BaseURL:          "https://graph.microsoft.com",
		Limits:           DefaultLimits(),
		Retry:            DefaultRetry(),
		MaxResponseBytes: 32 << 20,
		Concurrency:      8,
		UserAgent:        "tenantpilot",
	}
}

// Pool shares connections between all tenants, and quotas and the number of
// requests in flight between all clients of one tenant. Safe for concurrent use.
type Pool struct {
	cfg  Config
	base *url.URL
	http *http.Client

	workloads map[string]string // by the beginning of a path

	// Time and chance are fields, so that tests neither wait nor guess.
	now      func() time.Time
	sleep    func(context.Context, time.Duration) error
	jitter   func() float64
	insecure bool // plain HTTP and its bearer token: tests only

	mu      sync.Mutex
	tenants map[string]*tenant
}

// tenant is the state that all clients of one tenant share.
type tenant struct {
	slots   chan struct{}
	buckets map[string]*bucket // by workload; complete from the start
}

// NewPool refuses a configuration that could send a token in the clear.
func NewPool(cfg Config) (*Pool, error) {
	p, err := newPool(cfg)
	if err != nil {
		return nil, err
	}
	if p.base.Scheme != "https" {
		return nil, fmt.Errorf("graph: base URL %q is not https", cfg.BaseURL)
	}
	return p, nil
}

func newPool(cfg Config) (*Pool, error) {
	base, err := url.Parse(strings.TrimSuffix(cfg.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Path != "" || base.User != nil {
		return nil, fmt.Errorf("graph: base URL %q is not scheme://host", cfg.BaseURL)
	}
	if cfg.Concurrency < 1 || cfg.MaxResponseBytes < 1 {
		return nil, fmt.Errorf("graph: concurrency and response size must be positive")
	}
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	if len(cfg.AllowedHosts) == 0 {
		cfg.AllowedHosts = []string{base.Host}
	}
	return &Pool{
		cfg: cfg, base: base, http: newHTTPClient(cfg), workloads: workloads(),
		now: time.Now, sleep: pause.For, jitter: randomFraction,
		tenants: make(map[string]*tenant),
	}, nil
}

func newHTTPClient(cfg Config) *http.Client {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   4 * cfg.Concurrency,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		// A connection that died silently must not cost a whole request timeout.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	return &http.Client{
		// The trace is sent to Graph, baggage is not.
		Transport: otelhttp.NewTransport(transport, otelhttp.WithPropagators(propagation.TraceContext{})),
		// Graph does not redirect; following one could carry a token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close drops idle connections.
func (p *Pool) Close() { p.http.CloseIdleConnections() }

// Client returns a client for one tenant. The id only decides which clients share
// a quota; the credential decides which tenant's data Graph returns.
func (p *Pool) Client(tenantID string, cred Credential) *Client {
	c := &Client{pool: p, tenant: p.tenant(tenantID), tokens: &tokenSource{cred: cred, now: p.now, turn: make(chan struct{}, 1)}}
	c.throttle, c.idle = &throttle{}, &idle{now: p.now}
	c.sent = new(atomic.Int64)
	c.pipeline = runtime.NewPipeline("graph", "v1",
		runtime.PipelineOptions{
			PerCall:  []policy.Policy{retryPolicy{p}},
			PerRetry: []policy.Policy{authPolicy{p}},
		},
		&policy.ClientOptions{
			// azcore's own retries give up silently when Retry-After is longer
			// than the longest delay. retryPolicy replaces them.
			Retry:     policy.RetryOptions{MaxRetries: -1},
			Telemetry: policy.TelemetryOptions{Disabled: true},
			Transport: p.http,
		})
	return c
}

func (p *Pool) tenant(id string) *tenant {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.tenants[id]
	if !ok {
		t = &tenant{slots: make(chan struct{}, p.cfg.Concurrency), buckets: p.cfg.Limits.buckets()}
		p.tenants[id] = t
	}
	return t
}

// Client is one tenant's Graph. Safe for concurrent use.
type Client struct {
	pool     *Pool
	tenant   *tenant
	tokens   *tokenSource
	pipeline runtime.Pipeline
	throttle *throttle
	idle     *idle
	sent     *atomic.Int64 // HTTP requests so far
}

// throttle tells a listener that Graph asked this client to wait.
type throttle struct {
	mu    sync.Mutex
	until time.Time
	tell  func(time.Time)
}

// OnThrottle calls tell whenever requests of this client must wait for Graph
// until a later time than it was told before. Calls do not overlap; tell must
// return quickly.
func (c *Client) OnThrottle(tell func(until time.Time)) {
	c.throttle.mu.Lock()
	defer c.throttle.mu.Unlock()
	c.throttle.tell = tell
}

func (t *throttle) note(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tell == nil || !until.After(t.until) {
		return
	}
	t.until = until
	t.tell(until)
}

// counting returns c with a request counter of its own.
func (c *Client) counting() *Client {
	own := *c
	own.sent = new(atomic.Int64)
	return &own
}
