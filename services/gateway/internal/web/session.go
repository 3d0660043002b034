package web

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web/templates"
)

const sessionLife = 12 * time.Hour

// sessions keeps a browser signed in without keeping anything here: the cookie
// is the API token and its end, sealed.
type sessions struct {
	aead cipher.AEAD
	now  func() time.Time
}

type session struct {
	Token string    `json:"t"`
	Until time.Time `json:"u"`
}

func newSessions(key []byte, now func() time.Time) (*sessions, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	return &sessions{aead: aead, now: now}, nil
}

// cookie is a new session for token. Browsers keep a __Host- cookie only over
// TLS, which a developer's own machine does without.
func (s *sessions) cookie(r *http.Request, token string) (*http.Cookie, error) {
	plain, err := json.Marshal(session{Token: token, Until: s.now().Add(sessionLife)})
	if err != nil {
		return nil, fmt.Errorf("seal session: %w", err)
	}
	c := blankCookie(r)
	c.Value = base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(c.Name)))
	c.MaxAge = int(sessionLife / time.Second)
	return c, nil
}

func blankCookie(r *http.Request) *http.Cookie {
	c := &http.Cookie{Name: "__Host-tenantpilot", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}
	if loopback(r) {
		c.Name, c.Secure = "tenantpilot", false
	}
	return c
}

// token is the API token of the browser's session; "" if it has none that holds.
func (s *sessions) token(r *http.Request) string {
	name := blankCookie(r).Name
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return ""
	}
	var kept session
	if json.Unmarshal(plain, &kept) != nil || !s.now().Before(kept.Until) {
		return ""
	}
	return kept.Token
}

func (s *Site) loginPage(w http.ResponseWriter, r *http.Request) {
	s.showLogin(w, r, http.StatusOK, localPath(r.URL.Query().Get("next")), "")
}

func (s *Site) showLogin(w http.ResponseWriter, r *http.Request, status int, next, wrong string) {
	s.render(w, r, status, templates.LoginPage(templates.Login{Shell: s.shell("Sign in"), Next: next, Wrong: wrong}))
}

// login trades an API token for a session.
func (s *Site) login(w http.ResponseWriter, r *http.Request) {
	if err := s.logins.take(peer(r)); err != nil {
		s.errorPage(w, r, err)
		return
	}
	if err := readForm(w, r); err != nil {
		s.errorPage(w, r, err)
		return
	}
	next, token := localPath(r.PostForm.Get("next")), strings.TrimSpace(r.PostForm.Get("token"))
	_, err := s.identity.resolve(r.Context(), token)
	if errs.Code(err) == codes.Unauthenticated {
		note(r.Context(), err)
		s.showLogin(w, r, http.StatusUnauthorized, next, "This token is unknown, expired or revoked.")
		return
	}
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	cookie, err := s.sessions.cookie(r, token)
	if err != nil {
		s.errorPage(w, r, err)
		return
	}
	http.SetCookie(w, cookie)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *Site) logout(w http.ResponseWriter, r *http.Request) {
	signOut(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func signOut(w http.ResponseWriter, r *http.Request) {
	gone := blankCookie(r)
	gone.MaxAge = -1
	http.SetCookie(w, gone)
}

// localPath keeps a redirect on this site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/operations"
	}
	return next
}

// readForm reads a small form, or says what is wrong with it.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return errs.Invalid("", "the form is too large")
		}
		return errs.Invalid("", "the form could not be read").Wrap(err)
	}
	for name, values := range r.PostForm {
		for _, v := range values {
			if err := checkText(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}
