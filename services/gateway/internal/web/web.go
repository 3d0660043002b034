// Package web is what every HTTP request of the gateway goes through, whoever
// serves it: the mux, the log line, the security headers, who is calling, and how
// often they may. It is not the JSON API, the console or the streams: those are
// rooms of their own, which hang their routes into a [Site].
package web

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

// Config is what a site is made of.
type Config struct {
	Backends Backends // the services behind the gateway; "tenancy" resolves tokens
	Pages    Pages    // shows errors to people

	Signer *actor.Signer
	Rate   float64 // requests per second that one user, or one address without a good token, may make
	Burst  int     // requests that each of them may make at once

	Log *slog.Logger
	Now func() time.Time // time.Now if nil
}

// Pages shows an error to a person. Programs are sent a [Problem] instead.
type Pages interface {
	// Message shows a page with a heading and a sentence.
	Message(w http.ResponseWriter, r *http.Request, status int, heading, text string)
	// Error shows what went wrong.
	Error(w http.ResponseWriter, r *http.Request, err error)
}

// Site is everything behind one address.
type Site struct {
	mux       *http.ServeMux
	handler   http.Handler
	backends  Backends
	pages     Pages
	log       *slog.Logger
	now       func() time.Time
	identity  *identity
	users     *Limiter // by user
	strangers *Limiter // by address: requests without a good token
}

// New returns a site that serves the probes and, for every other address, a page
// or a problem that says there is nothing. The rooms add their routes to it.
func New(cfg Config) (*Site, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	tenancy, err := cfg.Backends.To("tenancy")
	if err != nil {
		return nil, err
	}
	s := &Site{
		mux: http.NewServeMux(), backends: cfg.Backends, pages: cfg.Pages, log: cfg.Log, now: cfg.Now,
		users: NewLimiter(cfg.Rate, cfg.Burst, cfg.Now), strangers: NewLimiter(cfg.Rate, cfg.Burst, cfg.Now),
		identity: newIdentity(tenancyv1.NewIdentityServiceClient(tenancy), cfg.Signer, cfg.Now),
	}
	s.HandleFunc("GET /livez", s.livez)
	s.HandleFunc("GET /healthz", s.livez)
	s.HandleFunc("GET /readyz", s.readyz)
	s.HandleFunc("/", s.elsewhere)
	s.handler = s.wrapped()
	return s, nil
}

// wrapped returns the mux with the middleware that every request passes.
func (s *Site) wrapped() http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(s.crossOrigin))
	return otelhttp.NewHandler(s.observed(secured(guard.Handler(s.mux))), "gateway",
		otelhttp.WithFilter(func(r *http.Request) bool { return !probe(r.URL.Path) }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			_, pattern := s.mux.Handler(r) // never the path: it has ids in it
			return pattern
		}),
	)
}

// Handle serves the requests that match pattern, which is one of [http.ServeMux].
func (s *Site) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// HandleFunc is [Site.Handle] for a function.
func (s *Site) HandleFunc(pattern string, h http.HandlerFunc) { s.mux.Handle(pattern, h) }

// ServeHTTP serves any request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Now is the time by the site's clock.
func (s *Site) Now() time.Time { return s.now() }

// refuse sends err as a problem to a program, and as a page to a person.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if forProgram(r) {
		Fail(w, r, err)
		return
	}
	s.pages.Error(w, r, err)
}

func (s *Site) crossOrigin(w http.ResponseWriter, r *http.Request) {
	if forProgram(r) {
		WriteProblem(w, r, Problem{Status: http.StatusForbidden, Code: "CROSS_ORIGIN", Detail: "this request came from another site"})
		return
	}
	s.pages.Message(w, r, http.StatusForbidden, "Not from here", "This form was sent by another site, so nothing was done. Open the page again and send it from there.")
}

// elsewhere serves what no pattern of the mux matches: the wrong method at an
// address that has others, or an address that has none.
func (s *Site) elsewhere(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		s.NoPage(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	s.pages.Message(w, r, http.StatusMethodNotAllowed, "Wrong method", "This address takes "+strings.Join(allow, " or ")+" only.")
}

// NoPage shows the page for an address that has none.
func (s *Site) NoPage(w http.ResponseWriter, r *http.Request) {
	s.pages.Message(w, r, http.StatusNotFound, "Nothing here", "There is no page at this address.")
}

func forProgram(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }
