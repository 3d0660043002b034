// Package graphsim is a Microsoft Graph to speak to: an HTTPS server with the
// authority's token endpoint, the Intune and Conditional Access collections,
// paging, $batch, quotas and errors of the real service, over a generated
// tenant or a folder of exported policies. Faults can be scripted, and tenants
// edited while it runs.
//
// It is not a Graph for writing to: tests change tenants through [Tenant].
package graphsim

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// Config describes a simulator. The zero value of everything but Tenants is
// usable: quotas on, no latency, tokens of an hour.
type Config struct {
	Tenants   []TenantConfig
	NoQuotas  bool           // serve without the published limits
	Latency   time.Duration  // added to every call; a batch is one call
	TokenLife time.Duration  // default 3599 s
	PageSizes map[string]int // by kind or navigation property, where the defaults (100; 25) do not fit a test
	Faults    []Rule
	Now       func() time.Time // default time.Now
}

// TenantConfig is one tenant: who may speak to it, and what is in it.
type TenantConfig struct {
	ID           string
	ClientID     string
	ClientSecret string
	Load         []string // folders of exported policies; with any, nothing is generated
	Size         int      // how many objects of the catalog's types to generate
	Seed         uint64   // the same seed and size give the same bytes
	Counts       map[string]int
	// Counts sets exact numbers by kind instead of Size.
}

// Server is the simulator; it is an [http.Handler] to be served over TLS.
type Server struct {
	tenants   map[string]*access
	report    Report
	key       []byte
	tokenLife time.Duration
	latency   time.Duration
	pageSizes map[string]int
	now       func() time.Time
	quotas    *quotas // nil: none
	faults    faults
	stats     stats
	admin     *http.ServeMux

	shuffleMu sync.Mutex
	shuffle   *mathrand.Rand
}

// access is a tenant and the application that may read it.
type access struct {
	app, secret string
	content     *Tenant
}

// New makes a simulator. It fails where a folder to load cannot be read at all
// or a fault rule makes no sense; single bad files end up in [Server.LoadReport].
func New(cfg Config) (*Server, error) {
	s := &Server{
		tenants:   map[string]*access{},
		key:       make([]byte, 32),
		tokenLife: cfg.TokenLife,
		latency:   cfg.Latency,
		pageSizes: cfg.PageSizes,
		now:       cfg.Now,
		shuffle:   mathrand.New(mathrand.NewPCG(1, 2)),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.tokenLife == 0 {
		s.tokenLife = 3599 * time.Second
	}
	if !cfg.NoQuotas {
		s.quotas = newQuotas()
	}
	if _, err := rand.Read(s.key); err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	if len(cfg.Tenants) == 0 {
		return nil, errors.New("no tenant configured")
	}
	for _, t := range cfg.Tenants {
		if err := s.addTenant(t); err != nil {
			return nil, fmt.Errorf("tenant %s: %w", t.ID, err)
		}
	}
	s.stats.reset()
	s.admin = s.adminMux()
	return s, s.SetFaults(cfg.Faults)
}

func (s *Server) addTenant(cfg TenantConfig) error {
	if cfg.ID == "" || cfg.ClientID == "" || cfg.ClientSecret == "" {
		return errors.New("id, client id and client secret are required")
	}
	t := newTenant(cfg.ID, s.now)
	if len(cfg.Load) > 0 {
		if err := t.load(cfg.Load, &s.report); err != nil {
			return err
		}
	} else {
		t.generate(cfg)
	}
	s.tenants[cfg.ID] = &access{app: cfg.ClientID, secret: cfg.ClientSecret, content: t}
	return nil
}

// Tenant returns the content of a tenant, nil if there is no tenant with that id.
func (s *Server) Tenant(id string) *Tenant {
	if a := s.tenants[id]; a != nil {
		return a.content
	}
	return nil
}

// LoadReport returns what became of every file that New was to load.
func (s *Server) LoadReport() Report { return s.report }

// ServeHTTP handles one call: of administration, for a token, or of Graph.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		s.admin.ServeHTTP(w, r)
		return
	}
	if pause.For(r.Context(), s.latency) != nil {
		return
	}
	resp := s.answer(r)
	for k, v := range resp.header {
		w.Header()[k] = v
	}
	send(w, resp)
}

// answer handles one call, alone or a member of a batch: it applies faults and
// counts the call. To break the connection it panics with [http.ErrAbortHandler].
func (s *Server) answer(r *http.Request) *response {
	c := s.newCall(r)
	rule := s.faults.take(c.method, c.path, s.tenantOf(c, r))
	resp := s.withFault(c, r, rule)
	resp.header.Set("request-id", c.requestID)
	resp.header.Set("client-request-id", c.clientID)
	s.stats.count(c, resp)
	return resp
}

func (s *Server) route(c *call, r *http.Request) *response {
	if resp := s.oauth(c, r); resp != nil {
		return resp
	}
	return s.graph(c, r)
}
