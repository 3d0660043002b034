package graphtoken_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/graphtoken"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/tenant"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const (
	directory = "9a1f6c1e-5a3b-4c57-8d7e-0f2b4c6d8e90"
	secret    = "canary~secret"
)

// authority serves the token endpoint with answer, and everything else as Entra does.
type authority struct {
	t      *testing.T
	url    string
	ca     string
	asked  atomic.Int64
	answer func(w http.ResponseWriter, r *http.Request)
}

func newAuthority(t *testing.T, answer http.HandlerFunc) *authority {
	t.Helper()
	a := &authority{t: t, answer: answer, ca: filepath.Join(t.TempDir(), "ca.pem")}
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(a.ca, text, 0o600))
	return a
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		base := a.url + "/" + directory
		fmt.Fprintf(w, `{"token_endpoint":"%s/oauth2/v2.0/token","issuer":"%s/v2.0","authorization_endpoint":"%s/authorize"}`, base, base, base)
		return
	}
	a.asked.Add(1)
	a.answer(w, r)
}

func (a *authority) issuer(t *testing.T) *graphtoken.Issuer {
	t.Helper()
	i, err := graphtoken.New(graphtoken.Config{AuthorityOverride: a.url, ExtraCA: a.ca})
	require.NoError(t, err)
	t.Cleanup(i.Close)
	return i
}

func connection(i *graphtoken.Issuer) graphtoken.Connection {
	return graphtoken.Connection{
		WorkspaceID: 1, TenantID: 2, DirectoryID: directory, ClientID: "client", Secret: secret, Generation: "1",
		Hosts: i.Hosts(tenant.China),
	}
}

// grant serves a new token at each call, valid for so many seconds, for a directory.
func grant(seconds int, tid string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		claims := base64.RawURLEncoding.EncodeToString([]byte(`{"tid":"` + tid + `"}`))
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"access_token":"e30.%s.canarytoken%d"}`, seconds, claims, n.Add(1))
	}
}

// refuse serves a refusal like one of Entra's, which quotes the whole request.
func refuse(status, code int, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q,"error_description":"AADSTS%d: you sent %s","error_codes":[%d]}`, kind, code, r.PostForm.Encode(), code)
	}
}

func TestScopeAndSecretGoToTheAuthority(t *testing.T) {
	t.Parallel()
	var form string
	ok := grant(3600, directory)
	a := newAuthority(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm.Get("scope") + " " + r.PostForm.Get("client_id") + " " + r.PostForm.Get("client_secret") + " " + r.PostForm.Get("grant_type")
		ok(w, r)
	})
	i := a.issuer(t)
	got, err := i.Token(t.Context(), connection(i), false)
	require.NoError(t, err)
	require.Contains(t, got.Value, "canarytoken1")
	require.Equal(t, "https://microsoftgraph.chinacloudapi.cn/.default client canary~secret client_credentials",
		strings.Replace(form, " openid offline_access profile", "", 1))
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", got, got, got, got), "canarytoken")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer http.HandlerFunc
		code   codes.Code
		number string
		asked  int64
	}{
		"wrong secret":      {refuse(401, 7000215, "invalid_client"), codes.FailedPrecondition, "AADSTS7000215", 1},
		"expired secret":    {refuse(401, 7000222, "invalid_client"), codes.FailedPrecondition, "AADSTS7000222", 1},
		"unknown client":    {refuse(400, 700016, "unauthorized_client"), codes.FailedPrecondition, "AADSTS700016", 1},
		"something new":     {refuse(400, 999999, "invalid_request"), codes.FailedPrecondition, "AADSTS999999", 1},
		"other directory":   {grant(3600, "00000000-0000-4000-8000-000000000001"), codes.FailedPrecondition, "DIRECTORY_MISMATCH", 1},
		"down":              {refuse(503, 90033, "temporarily_unavailable"), codes.Unavailable, "", 2},
		"briefly away":      {refuse(400, 90033, "temporarily_unavailable"), codes.Unavailable, "", 1},
		"too many":          {refuse(429, 90055, "too_many_requests"), codes.Unavailable, "", 2},
		"a web page":        {html(200), codes.Unavailable, "", 1},
		"a proxy's refusal": {html(403), codes.Unavailable, "", 1},
		"a redirect":        {redirect, codes.Unavailable, "", 1},
		"reset":             {reset, codes.Unavailable, "", 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t, test.answer)
			i := a.issuer(t)
			for range 3 { // said again at once, it is the same answer and no more questions
				_, err := i.Token(t.Context(), connection(i), true)
				e, ok := errs.As(err)
				require.True(t, ok, "%v", err)
				require.Equal(t, test.code, e.Code(), "%v", err)
				require.Equal(t, test.number, e.Metadata()["code"])
				require.Equal(t, test.number != "", e.Metadata()["remediation"] != "")
				require.NotContains(t, err.Error(), "canary", "not even for the log")
			}
			require.Equal(t, test.asked, a.asked.Load())
		})
	}
}

func html(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, "<html>canary page</html>")
	}
}

func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://127.0.0.1:1/canary", http.StatusTemporaryRedirect)
}

func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// A new secret is tried at once, whatever the last one met.
func TestNewGenerationForgets(t *testing.T) {
	t.Parallel()
	refused, ok := refuse(401, 7000215, "invalid_client"), grant(3600, directory)
	a := newAuthority(t, func(w http.ResponseWriter, r *http.Request) {
		if _ = r.ParseForm(); r.PostForm.Get("client_secret") == secret {
			refused(w, r)
			return
		}
		ok(w, r)
	})
	i := a.issuer(t)
	c := connection(i)
	_, err := i.Token(t.Context(), c, false)
	require.Equal(t, "TENANT_AUTH", errs.Reason(err))
	c.Secret, c.Generation = "right", "2"
	_, err = i.Token(t.Context(), c, false)
	require.NoError(t, err)
	require.EqualValues(t, 2, a.asked.Load())
}

// A token is renewed before its end, a short one too is used for most of its life.
func TestShortTokens(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, grant(60, directory))
	i := a.issuer(t)
	for range 3 {
		_, err := i.Token(t.Context(), connection(i), false)
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, a.asked.Load())
	old := newAuthority(t, grant(0, directory))
	i = old.issuer(t)
	for range 2 {
		if _, err := i.Token(t.Context(), connection(i), false); err != nil {
			return // a library may well refuse a token that is over at birth
		}
	}
	require.EqualValues(t, 2, old.asked.Load())
}

// Whoever waits for another's question can leave, and a caller who left tells
// the others nothing about the tenant.
func TestCallersCanLeave(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}, 10), make(chan struct{})
	ok := grant(3600, directory)
	a := newAuthority(t, func(w http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		ok(w, r)
	})
	i := a.issuer(t)
	first, leave := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { _, err := i.Token(first, connection(i), false); ended <- err }()
	<-reached
	second, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := i.Token(second, connection(i), false)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	leave()
	require.ErrorIs(t, <-ended, context.Canceled)

	go func() { _, err := i.Token(t.Context(), connection(i), false); ended <- err }()
	<-reached
	close(release)
	require.NoError(t, <-ended)
}

func TestForget(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, grant(3600, directory))
	i := a.issuer(t)
	for range 2 {
		_, err := i.Token(t.Context(), connection(i), false)
		require.NoError(t, err)
		i.Forget(1, 2)
	}
	require.EqualValues(t, 2, a.asked.Load())
}

func TestConfig(t *testing.T) {
	t.Parallel()
	noCert := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(noCert, []byte("hello"), 0o600))
	tests := map[string]graphtoken.Config{
		"plain http":     {AuthorityOverride: "http://127.0.0.1:1"},
		"plain Graph":    {GraphOverride: "http://127.0.0.1:1"},
		"no address":     {AuthorityOverride: "https://"},
		"no CA":          {ExtraCA: "/nowhere.pem"},
		"no certificate": {ExtraCA: noCert},
	}
	for name, cfg := range tests {
		_, err := graphtoken.New(cfg)
		require.Error(t, err, name)
	}
	i, err := graphtoken.New(graphtoken.Config{GraphOverride: "https://127.0.0.1:1"})
	require.NoError(t, err)
	defer i.Close()
	require.Equal(t, tenant.Hosts{Authority: "https://login.microsoftonline.us", Graph: "https://127.0.0.1:1"}, i.Hosts(tenant.USGov))
}

// Who is not trusted is not told the secret.
func TestUntrustedAuthority(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, grant(3600, directory))
	i, err := graphtoken.New(graphtoken.Config{AuthorityOverride: a.url})
	require.NoError(t, err)
	t.Cleanup(i.Close)
	_, err = i.Token(t.Context(), connection(i), false)
	require.Equal(t, codes.Unavailable, errs.Code(err))
	require.Zero(t, a.asked.Load())
}
