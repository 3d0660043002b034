// Package web is the gateway's HTTP: the JSON API, the console's pages, and the
// probes. It keeps no state but a few seconds' memory of who a token stands for,
// and never speaks to Microsoft Graph.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"google.golang.org/grpc"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/actor"
)

// Config is what the site is made of.
type Config struct {
	Operations, Tenancy, Inventory grpc.ClientConnInterface

	Signer     *actor.Signer
	SessionKey []byte  // 32 bytes; seals the console's session cookies
	Rate       float64 // requests a second each user, or stranger, may make for long
	Burst      int     // and at once

	FormerOffset int64           // from a run's id at its former address to its id
	Closing      <-chan struct{} // closed when the process begins to stop: streams end
	Log          *slog.Logger
}

// Site is everything behind one address.
type Site struct {
	handler   http.Handler
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	identity  *identity
	users     *buckets // by user
	strangers *buckets // by address: requests without a good token
	logins    *buckets // by address: tokens tried at the sign-in page
	sessions  *sessions
	assets    *assets
	watches   *watches
}

// New makes everything the gateway serves.
func New(ctx context.Context, cfg Config) (*Site, error) {
	now := time.Now
	s := &Site{
		cfg: cfg, log: cfg.Log, now: now,
		users: newBuckets(cfg.Rate, cfg.Burst, now), strangers: newBuckets(cfg.Rate, cfg.Burst, now), logins: newBuckets(10.0/60, 10, now),
		identity: &identity{
			tenancy: tenancyv1.NewIdentityServiceClient(cfg.Tenancy), signer: cfg.Signer,
			now: now, known: map[[32]byte]knownActor{},
		},
	}
	s.watches = &watches{
		reader: operationsv1.NewRunReaderServiceClient(cfg.Operations), identity: s.identity, log: cfg.Log, rooms: map[int64]*room{},
	}
	var err error
	if s.sessions, err = newSessions(cfg.SessionKey, now); err != nil {
		return nil, err
	}
	if s.assets, err = newAssets(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	if err := s.routes(ctx, mux); err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(s.crossOrigin))
	s.handler = otelhttp.NewHandler(s.observed(secured(guard.Handler(mux))), "gateway",
		otelhttp.WithFilter(func(r *http.Request) bool { return !probe(r.URL.Path) }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			_, pattern := mux.Handler(r) // never the path: it has ids in it
			return pattern
		}),
	)
	return s, nil
}

// ServeHTTP serves any request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Site) routes(ctx context.Context, mux *http.ServeMux) error {
	api, err := newAPI(ctx, s)
	if err != nil {
		return err
	}
	mux.Handle("/api/", limited(api))
	mux.HandleFunc("GET /api/v1/operations/{run}/events", api.runEvents)
	mux.HandleFunc("GET /api/v1/workspaces/{workspace}/operations:watch", api.workspaceEvents)
	mux.HandleFunc("GET /openapi.json", serveOpenAPI)
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /healthz", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /static/{file}", s.assets)
	mux.HandleFunc("GET /admin/operations", formerAddress)
	mux.HandleFunc("GET /admin/operations/{run}", s.formerAddressOfRun)
	s.consoleRoutes(mux)
	mux.Handle("/", s.elsewhere(mux))
	return nil
}

func (s *Site) consoleRoutes(mux *http.ServeMux) {
	mux.Handle("GET /{$}", http.RedirectHandler("/operations", http.StatusSeeOther))
	mux.HandleFunc("GET /login", s.loginPage)
	mux.Handle("POST /login", limited(http.HandlerFunc(s.login)))
	mux.HandleFunc("POST /logout", s.logout)
	mux.Handle("GET /operations", limited(s.signedIn(s.operationsPage)))
	mux.Handle("POST /operations", limited(s.signedIn(s.startSync)))
	mux.Handle("GET /operations/{run}", limited(s.signedIn(s.runPage)))
	mux.Handle("POST /operations/{run}/cancel", limited(s.signedIn(s.cancelRun)))
	mux.HandleFunc("GET /operations/{run}/live", s.live)
}

// formerAddress sends the list's address of before to the one of today.
func formerAddress(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/operations", http.StatusPermanentRedirect)
}

// formerAddressOfRun does the same for a run, without looking whether there is one.
func (s *Site) formerAddressOfRun(w http.ResponseWriter, r *http.Request) {
	before, ok := parseID(r.PathValue("run"))
	if !ok || before > math.MaxInt64-s.cfg.FormerOffset {
		s.noRoute(w, r)
		return
	}
	http.Redirect(w, r, "/operations/"+id(before+s.cfg.FormerOffset), http.StatusPermanentRedirect)
}

// admit resolves token and lets its user spend one request.
func (s *Site) admit(r *http.Request, token string) (context.Context, actor.Actor, error) {
	if err := s.strangers.spent(peer(r)); err != nil {
		return nil, actor.Actor{}, err
	}
	who, err := s.identity.resolve(r.Context(), token)
	if err != nil {
		_ = s.strangers.take(peer(r)) // counted; the refusal is the one of the token
		return nil, actor.Actor{}, err
	}
	if err := s.users.take(fmt.Sprint(who.UserID)); err != nil {
		return nil, actor.Actor{}, err
	}
	seenIn(r.Context()).userID = who.UserID
	ctx, err := s.identity.carry(r.Context(), who)
	return ctx, who, err
}

// refuse answers a failure in the words of whoever asked: a program or a page.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if forProgram(r) {
		fail(w, r, err)
		return
	}
	s.errorPage(w, r, err)
}

func (s *Site) crossOrigin(w http.ResponseWriter, r *http.Request) {
	if forProgram(r) {
		writeProblem(w, r, problem{Status: http.StatusForbidden, Code: "CROSS_ORIGIN", Detail: "this request came from another site"})
		return
	}
	s.message(w, r, http.StatusForbidden, "Not from here", "This form was sent by another site, so nothing was done. Open the page again and send it from there.")
}

// elsewhere answers what no pattern of mux takes: the wrong method at a right
// address, or nothing at all.
func (s *Site) elsewhere(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "/" {
				allow = append(allow, method)
			}
		}
		if len(allow) == 0 {
			s.noRoute(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		s.message(w, r, http.StatusMethodNotAllowed, "Not this way", "This address takes "+strings.Join(allow, " or ")+" only.")
	})
}

func (s *Site) noRoute(w http.ResponseWriter, r *http.Request) {
	s.message(w, r, http.StatusNotFound, "Nothing here", "There is no page at this address.")
}

func forProgram(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }
