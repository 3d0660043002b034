package webtest

import (
	"bufio"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Update reports whether the tests write their golden files instead of comparing them.
var Update = flag.Bool("update", false, "rewrite golden files and openapi.json")

// Open serves site at an address, for a client that follows no redirect.
func Open(t *testing.T, site http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(site)
	t.Cleanup(srv.Close)
	srv.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return srv
}

// Ask makes one API request as the user of token ("" for nobody) and returns the
// response with its body read. A fixed request id makes bodies comparable.
func Ask(t *testing.T, srv *httptest.Server, token, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	Must(t, err)
	r.Header.Set("X-Request-Id", "test-request")
	if token != "" {
		r.Header.Set("Authorization", "Bearer tp_"+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return Do(t, srv, r)
}

// Do makes one request and returns the response with its body read.
func Do(t *testing.T, srv *httptest.Server, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := srv.Client().Do(r)
	Must(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	Must(t, err)
	return resp, string(got)
}

// SignIn returns a browser's session cookie for the user of token.
func SignIn(t *testing.T, srv *httptest.Server, token string) *http.Cookie {
	t.Helper()
	resp, body := Submit(t, srv, nil, "/login", url.Values{"token": {"tp_" + token}}) //nolint:bodyclose // Do has closed it
	if resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 1 {
		t.Fatalf("sign in: %d %s", resp.StatusCode, body)
	}
	return resp.Cookies()[0]
}

// Browse asks for a page as a browser with cookie c does; nil for none.
func Browse(t *testing.T, srv *httptest.Server, c *http.Cookie, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
	Must(t, err)
	if c != nil {
		r.AddCookie(c)
	}
	return Do(t, srv, r)
}

// Submit sends a form as a browser with cookie c does; nil for none.
func Submit(t *testing.T, srv *httptest.Server, c *http.Cookie, path string, form url.Values, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, strings.NewReader(form.Encode()))
	Must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c != nil {
		r.AddCookie(c)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return Do(t, srv, r)
}

// Event is one event of an event stream.
type Event struct{ Event, ID, Data string }

// Stream is an event stream being read.
type Stream struct{ lines *bufio.Scanner }

// Listen reads an event stream as a browser with cookie c does.
func Listen(t *testing.T, srv *httptest.Server, c *http.Cookie, path, last string) Stream {
	t.Helper()
	return follow(t, srv, path, last, func(r *http.Request) { r.AddCookie(c) })
}

// Subscribe reads an event stream as a program does, with the token of a user.
func Subscribe(t *testing.T, srv *httptest.Server, token, path, last string) Stream {
	t.Helper()
	return follow(t, srv, path, last, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer tp_"+token)
		r.Header.Set("Accept", "text/event-stream")
	})
}

func follow(t *testing.T, srv *httptest.Server, path, last string, as func(*http.Request)) Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	Must(t, err)
	as(r)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := srv.Client().Do(r)
	Must(t, err)
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, got)
	}
	return Stream{bufio.NewScanner(resp.Body)}
}

// Next returns the next event, or an empty one at the stream's end.
func (s Stream) Next(t *testing.T) (e Event) {
	t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "event":
			e.Event = value
		case "id":
			e.ID = value
		case "data":
			e.Data += value + "\n"
		case "":
			if e.Event != "" {
				return e
			}
		}
	}
	return Event{}
}

// Between returns the text of s between before and after.
func Between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

// Golden compares got with a file of testdata; -update writes it.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *Update {
		Must(t, os.MkdirAll("testdata", 0o755))
		Must(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	Must(t, err)
	if got != string(want) {
		t.Errorf("%s differs; -update after a look\ngot:  %s\nwant: %s", file, got, want)
	}
}
