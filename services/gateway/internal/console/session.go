package console

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

const sessionLife = 12 * time.Hour

// sessions keeps browsers signed in, and stores nothing here: the cookie of a
// session is the API token and the time the session ends, sealed.
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

// cookie returns the cookie of a new session for token.
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

// blankCookie returns the session cookie without a value. Browsers keep a __Host-
// cookie only over TLS, so on a developer's own machine it has another name.
func blankCookie(r *http.Request) *http.Cookie {
	c := &http.Cookie{Name: "__Host-tenantpilot", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}
	if web.Loopback(r) {
		c.Name, c.Secure = "tenantpilot", false
	}
	return c
}

// token returns the API token of the browser's session, or "" if it has no session
// or one that has ended.
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

func signOut(w http.ResponseWriter, r *http.Request) {
	gone := blankCookie(r)
	gone.MaxAge = -1
	http.SetCookie(w, gone)
}
