package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages serves body n of bodies at ?n; BASE stands for the server's address.
func pages(bodies ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := 0
		_, _ = fmt.Sscanf(r.URL.RawQuery, "n=%d", &n)
		_, _ = io.WriteString(w, strings.ReplaceAll(bodies[n], "BASE", "http://"+r.Host))
	}
}

func TestEach(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pages []string
		want  []string
		code  string // of the error, "" for none
	}{
		"one page":                 {pages: []string{`{"value":[1, {"a" : 2} ]}`}, want: []string{`1`, `{"a" : 2}`}},
		"no elements":              {pages: []string{`{"value":[]}`}},
		"an empty page in between": {pages: []string{`{"value":[1],"@odata.nextLink":"BASE/beta/x?n=1"}`, `{"value":[],"@odata.nextLink":"BASE/beta/x?n=2"}`, `{"value":[3]}`}, want: []string{"1", "3"}},
		"a page naming itself":     {pages: []string{`{"value":[1],"@odata.nextLink":"BASE/beta/x"}`}, want: []string{"1"}, code: CodeLoop},
		"two pages in a circle":    {pages: []string{`{"value":[1],"@odata.nextLink":"BASE/beta/x?n=1"}`, `{"value":[2],"@odata.nextLink":"BASE/beta/x?n=1"}`}, want: []string{"1", "2"}, code: CodeLoop},
		"no list":                  {pages: []string{`{"error":{}}`}, code: CodeMalformed},
		"a list that is null":      {pages: []string{`{"value":null}`}, code: CodeMalformed},
		"not an object":            {pages: []string{`[]`}, code: CodeMalformed},
		"a malformed link":         {pages: []string{`{"value":[],"@odata.nextLink":"%zz"}`}, code: CodeMalformed},
		"a link without a host":    {pages: []string{`{"value":[],"@odata.nextLink":"beta/x"}`}, code: CodeForeignHost},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, pages(test.pages...))
			var got []string
			err := w.Each(t.Context(), "/beta/x", func(raw json.RawMessage) error {
				got = append(got, string(raw))
				return nil
			})
			require.Equal(t, test.want, got)
			if test.code == "" {
				require.NoError(t, err)
				return
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.code, e.Code)
		})
	}
}

// Links come back exactly as Graph gave them, escapes and all.
func TestEach_verbatim(t *testing.T) {
	t.Parallel()
	link := `/beta/x('a%2Fb')?$skiptoken=a%2Bb+c%20d%2f&$top=5&x=%C3%A9`
	w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			_, _ = fmt.Fprintf(rw, `{"value":[],"@odata.nextLink":"http://%s%s"}`, r.Host, link)
			return
		}
		_, _ = io.WriteString(rw, `{"value":[]}`)
	})
	require.NoError(t, w.Each(t.Context(), "/beta/x", func(json.RawMessage) error { return nil }))
	require.Equal(t, []string{"GET /beta/x", "GET " + link}, w.requests())
}

// The token goes nowhere else, whatever a page says.
func TestEach_foreignHost(t *testing.T) {
	t.Parallel()
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the thief was sent %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(thief.Close)
	host := strings.TrimPrefix(thief.URL, "http://")
	for name, link := range map[string]string{
		"another host":        thief.URL + "/beta/x",
		"ours as a user name": "http://127.0.0.1@" + host + "/beta/x",
		"another scheme":      "ftp://BASE/beta/x",
		"ours as a prefix":    "BASE.evil.example/beta/x",
		"ours with a name":    "http://user@BASEHOST/beta/x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
				link := strings.ReplaceAll(strings.ReplaceAll(link, "BASEHOST", r.Host), "BASE", "http://"+r.Host)
				_, _ = fmt.Fprintf(rw, `{"value":[],"@odata.nextLink":%q}`, link)
			})
			err := w.Each(t.Context(), "/beta/x", func(json.RawMessage) error { return nil })
			require.Equal(t, "dependency", ReasonCode(err))
			require.False(t, Retryable(err))
			require.Len(t, w.requests(), 1)
		})
	}
}

func TestEach_allowedHost(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(text("application/json", `{"value":[2]}`))
	t.Cleanup(other.Close)
	w := setup(t, text("application/json", `{"value":[1],"@odata.nextLink":"`+other.URL+`/beta/x"}`), func(c *Config) {
		c.AllowedHosts = []string{strings.TrimPrefix(c.BaseURL, "http://"), strings.TrimPrefix(other.URL, "http://")}
	})
	n := 0
	require.NoError(t, w.Each(t.Context(), "/beta/x", func(json.RawMessage) error { n++; return nil }))
	require.Equal(t, 2, n)
}

func TestEach_stops(t *testing.T) {
	t.Parallel()
	stop := errors.New("enough")
	w := setup(t, pages(`{"value":[1],"@odata.nextLink":"BASE/beta/x?n=1"}`))
	require.ErrorIs(t, w.Each(t.Context(), "/beta/x", func(json.RawMessage) error { return stop }), stop)
	require.Len(t, w.requests(), 1)
}

func TestGet_badPath(t *testing.T) {
	t.Parallel()
	w := setup(t, text("application/json", `{}`))
	for _, path := range []string{"", "beta/x", "//evil.example/x"} {
		_, err := w.Get(t.Context(), path)
		require.Error(t, err, path)
	}
	require.Empty(t, w.requests())
}

func TestNewPool_refuses(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"http://graph.microsoft.com", "graph.microsoft.com", "https://x/beta", "https://u@x", ""} {
		cfg := DefaultConfig()
		cfg.BaseURL = base
		_, err := NewPool(cfg)
		require.Error(t, err, base)
	}
	_, err := NewPool(DefaultConfig())
	require.NoError(t, err)
}
