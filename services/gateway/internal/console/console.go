// Package console is the pages for people: signing in, the list of runs, and a run.
// Each request reads what its page shows from the services. It is not the JSON API,
// and it does not follow runs: package live does, and calls [Console.Fragment].
package console

import (
	"errors"
	"net/http"
	"net/url"

	"google.golang.org/grpc/codes"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// Config is what a console is made of.
type Config struct {
	Site     *web.Site
	Backends web.Backends
	Pages    *Pages

	SessionKey   []byte // 32 bytes; seals the session cookies
	FormerOffset int64  // from a run's id at its former address to its id
}

// Console serves the pages.
type Console struct {
	clients
	site         *web.Site
	pages        *Pages
	sessions     *sessions
	logins       *web.Limiter // by address: tokens tried at the sign-in page
	formerOffset int64
}

// clients are what the pages call.
type clients struct {
	runs       operationsv1.RunReaderServiceClient
	runWrites  operationsv1.RunServiceClient
	workspaces tenancyv1.WorkspaceReaderServiceClient
	tenants    tenancyv1.TenantReaderServiceClient
	inventory  inventoryv1.InventoryReaderServiceClient
	syncs      inventoryv1.InventoryServiceClient
}

// New returns a console whose routes are not served yet: see [Console.Mount].
func New(cfg Config) (*Console, error) {
	clients, err := clientsOf(cfg.Backends)
	if err != nil {
		return nil, err
	}
	sessions, err := newSessions(cfg.SessionKey, cfg.Site.Now)
	if err != nil {
		return nil, err
	}
	return &Console{
		clients: clients, site: cfg.Site, pages: cfg.Pages, sessions: sessions,
		logins: web.NewLimiter(10.0/60, 10, cfg.Site.Now), formerOffset: cfg.FormerOffset,
	}, nil
}

func clientsOf(backends web.Backends) (clients, error) {
	operations, err1 := backends.To("operations")
	tenancy, err2 := backends.To("tenancy")
	inventory, err3 := backends.To("inventory")
	return clients{
		runs: operationsv1.NewRunReaderServiceClient(operations), runWrites: operationsv1.NewRunServiceClient(operations),
		workspaces: tenancyv1.NewWorkspaceReaderServiceClient(tenancy), tenants: tenancyv1.NewTenantReaderServiceClient(tenancy),
		inventory: inventoryv1.NewInventoryReaderServiceClient(inventory), syncs: inventoryv1.NewInventoryServiceClient(inventory),
	}, errors.Join(err1, err2, err3)
}

// Mount adds the console's routes to its site.
func (c *Console) Mount() {
	c.site.Handle("GET /static/{file}", c.pages.assets)
	c.site.HandleFunc("GET /admin/operations", formerAddress)
	c.site.HandleFunc("GET /admin/operations/{run}", c.formerAddressOfRun)
	c.site.Handle("GET /{$}", http.RedirectHandler("/operations", http.StatusSeeOther))
	c.site.HandleFunc("GET /login", c.loginPage)
	c.site.Handle("POST /login", web.Limited(http.HandlerFunc(c.login)))
	c.site.HandleFunc("POST /logout", c.logout)
	c.site.Handle("GET /operations", c.signedIn(c.listPage))
	c.site.Handle("POST /operations", c.signedIn(c.startRun))
	c.site.Handle("GET /operations/{run}", c.signedIn(c.runPage))
	c.site.Handle("POST /operations/{run}/cancel", c.signedIn(c.cancelRun))
}

// page serves one address to who is signed in. Its error is shown as a page.
type page func(w http.ResponseWriter, r *http.Request, who web.Caller) error

// signedIn serves p to people who are signed in, and sends others to the sign-in
// page. The request's context carries the user for the calls made under it.
func (c *Console) signedIn(p page) http.Handler {
	return web.Limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if c.sessions.token(r) == "" {
			askToSignIn(w, r)
			return
		}
		ctx, who, err := c.site.Authenticate(r, c.Session)
		if errs.Code(err) == codes.Unauthenticated {
			web.Note(r.Context(), err)
			signOut(w, r)
			askToSignIn(w, r)
			return
		}
		if err == nil {
			err = p(w, r.WithContext(ctx), who)
		}
		if err != nil {
			c.pages.Error(w, r, err)
		}
	}))
}

// Session is the [web.Credential] of browsers: the token in their session cookie,
// empty if they are not signed in.
func (c *Console) Session(r *http.Request) (string, error) { return c.sessions.token(r), nil }

// askToSignIn redirects to the sign-in page, and from there back to the page that
// was asked for. After a form it goes on to the list instead.
func askToSignIn(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/operations" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
