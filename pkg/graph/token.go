package graph

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"
)

// Credential returns access tokens for one tenant. With force it returns another
// token than the last one, because Graph has just refused that one.
//
// If the tenant refused the application, the error must be an [*Error] of
// [ClassTenantAuth] (see [TenantAuth]). Any other error counts as the failure of
// a dependency.
type Credential interface {
	Token(ctx context.Context, force bool) (Token, error)
}

// Token never prints its value.
type Token struct {
	Value     string
	ExpiresAt time.Time
}

func (Token) String() string       { return "[token]" }
func (Token) GoString() string     { return "[token]" }
func (Token) LogValue() slog.Value { return slog.StringValue("[token]") }

// MarshalJSON keeps the value out of anything printed as JSON.
func (Token) MarshalJSON() ([]byte, error) { return []byte(`"[token]"`), nil }

// expiryMargin is how long before its end a token is no longer used. It is about
// the longest time that a request takes.
const expiryMargin = time.Minute

// tokenSource remembers the last token and lets one caller at a time fetch the next.
type tokenSource struct {
	cred Credential
	now  func() time.Time
	turn chan struct{} // a lock that a caller can stop waiting for: it holds a value while one caller fetches
	last Token
}

// get returns a token. refused is the token that Graph has just refused, "" if
// Graph refused none: get returns another token than that one.
func (s *tokenSource) get(ctx context.Context, refused string) (Token, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
	// Graph refuses many requests at the same moment. The first of them fetches a
	// new token, and the others use it.
	force := refused != "" && s.last.Value == refused
	if !force && s.last.Value != "" && s.now().Add(expiryMargin).Before(s.last.ExpiresAt) {
		return s.last, nil
	}
	t, err := s.cred.Token(ctx, force)
	if err != nil {
		return Token{}, tokenError(ctx, err)
	}
	s.last = t
	return t, nil
}

func tokenError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	return &Error{Class: ClassDependency, Code: "tokenUnavailable", Message: "no access token could be had", retryable: true, cause: err}
}

// TenantAuth returns the error of a [Credential] whose tenant refused the
// application: a wrong secret, no consent, no such tenant.
func TenantAuth(code, message string) *Error {
	return &Error{Class: ClassTenantAuth, Code: code, Message: scrub(message)}
}

// authPolicy adds the token to one attempt. It sends the token to allowed hosts
// over TLS only.
type authPolicy struct{ pool *Pool }

func (a authPolicy) Do(req *policy.Request) (*http.Response, error) {
	raw := req.Raw()
	if err := a.pool.allowed(raw.URL); err != nil {
		return nil, err
	}
	var c *call
	req.OperationValue(&c)
	raw.Header.Set("Authorization", "Bearer "+c.token)
	c.requestID = uuid.NewString()
	raw.Header.Set("client-request-id", c.requestID)
	raw.Header.Set("User-Agent", a.pool.cfg.UserAgent)
	return req.Next()
}
