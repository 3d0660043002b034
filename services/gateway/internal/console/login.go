package console

import (
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console/templates"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

func (c *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	c.showLogin(w, r, http.StatusOK, localPath(r.URL.Query().Get("next")), "")
}

func (c *Console) showLogin(w http.ResponseWriter, r *http.Request, status int, next, wrong string) {
	c.pages.render(w, r, status, templates.LoginPage(templates.Login{Shell: c.pages.shell("Sign in"), Next: next, Wrong: wrong}))
}

// login begins a session with the API token of the form.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := c.logins.Take(web.Peer(r)); err != nil {
		c.pages.Error(w, r, err)
		return
	}
	if err := readForm(w, r); err != nil {
		c.pages.Error(w, r, err)
		return
	}
	next, token := localPath(r.PostForm.Get("next")), strings.TrimSpace(r.PostForm.Get("token"))
	_, err := c.site.Resolve(r.Context(), token)
	if errs.Code(err) == codes.Unauthenticated {
		web.Note(r.Context(), err)
		c.showLogin(w, r, http.StatusUnauthorized, next, "This token is unknown, expired or revoked.")
		return
	}
	if err != nil {
		c.pages.Error(w, r, err)
		return
	}
	cookie, err := c.sessions.cookie(r, token)
	if err != nil {
		c.pages.Error(w, r, err)
		return
	}
	http.SetCookie(w, cookie)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	signOut(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// localPath returns next if it is a path on this site, and the path of the list
// otherwise: a redirect must not lead to another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/operations"
	}
	return next
}
