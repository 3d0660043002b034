package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// signIn is a browser's session cookie for the user of token.
func signIn(t *testing.T, srv *httptest.Server, token string) *http.Cookie {
	t.Helper()
	resp, body := submit(t, srv, nil, "/login", url.Values{"token": {"tp_" + token}})
	if resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 1 {
		t.Fatalf("sign in: %d %s", resp.StatusCode, body)
	}
	return resp.Cookies()[0]
}

func browse(t *testing.T, srv *httptest.Server, c *http.Cookie, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
	must(t, err)
	if c != nil {
		r.AddCookie(c)
	}
	return do(t, srv, r)
}

func submit(t *testing.T, srv *httptest.Server, c *http.Cookie, path string, form url.Values, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, strings.NewReader(form.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c != nil {
		r.AddCookie(c)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return do(t, srv, r)
}

func TestPagesAskStrangersToSignIn(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	tests := map[string]string{
		"/operations":                    "/login",
		"/operations/12":                 "/login?next=%2Foperations%2F12",
		"/operations/nothing":            "/login?next=%2Foperations%2Fnothing",
		"/operations/22":                 "/login?next=%2Foperations%2F22",
		"/operations?status=running&x=1": "/login",
	}
	for path, want := range tests {
		resp, _ := browse(t, srv, nil, path)
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("%s: %d to %q, want %q", path, resp.StatusCode, got, want)
		}
	}
	if w.calls() > 0 {
		t.Error("a stranger's request reached a service")
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := signIn(t, srv, "owner")
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || strings.Contains(c.Value, "tp_owner") {
		t.Errorf("cookie %+v", c)
	}
	resp, body := submit(t, srv, nil, "/login", url.Values{"token": {"tp_guess"}, "next": {"/operations/12"}})
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "unknown, expired or revoked") || !strings.Contains(body, `value="/operations/12"`) {
		t.Errorf("a wrong token: %d %s", resp.StatusCode, body)
	}
	spoiled := *c
	spoiled.Value = spoiled.Value[:len(spoiled.Value)-4] + "AAAA"
	if resp, _ := browse(t, srv, &spoiled, "/operations"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a tampered cookie: %d", resp.StatusCode)
	}
	out, _ := submit(t, srv, c, "/logout", nil)
	if gone := out.Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Errorf("signing out leaves %v", gone)
	}
}

func TestSessionCookieOverTLS(t *testing.T) {
	t.Parallel()
	s, err := newSessions(make([]byte, 32), time.Now)
	must(t, err)
	for host, want := range map[string]string{
		"console.example.com": "__Host-tenantpilot", "localhost:7080": "tenantpilot", "127.0.0.1:7080": "tenantpilot", "[::1]:7080": "tenantpilot",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host = host
		c, err := s.cookie(r, "tp_x")
		must(t, err)
		if c.Name != want || c.Secure != strings.HasPrefix(want, "__Host-") {
			t.Errorf("%s: %s, secure %t", host, c.Name, c.Secure)
		}
		r.AddCookie(c)
		if got := s.token(r); got != "tp_x" {
			t.Errorf("%s: the cookie holds %q", host, got)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	now := start()
	s, err := newSessions(make([]byte, 32), func() time.Time { return now })
	must(t, err)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	c, err := s.cookie(r, "tp_x")
	must(t, err)
	r.AddCookie(c)
	if now = start().Add(sessionLife); s.token(r) != "" {
		t.Error("a session outlives its end")
	}
}

func TestRedirectsStayHere(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/operations/12":        "/operations/12",
		"/operations?status=x":  "/operations?status=x",
		"":                      "/operations",
		"//evil.example":        "/operations",
		"/\\evil.example":       "/operations",
		"https://evil.example/": "/operations",
		"javascript:alert(1)":   "/operations",
		"/a\r\nSet-Cookie: x":   "/operations",
	} {
		if got := localPath(next); got != want {
			t.Errorf("%q goes to %q", next, got)
		}
	}
}

// TestPages looks for what each page must say, and for what none may.
func TestPages(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	owner, reader, both, nobody := signIn(t, srv, "owner"), signIn(t, srv, "reader"), signIn(t, srv, "both"), signIn(t, srv, "nobody")
	tests := map[string]struct {
		who    *http.Cookie
		path   string
		status int
		has    []string
		hasNot []string
	}{
		"list": {owner, "/operations", 200,
			[]string{"Partly succeeded", "Running", "310 of 1\u202f240", "Sync now", "Contoso &lt;script&gt;"}, []string{"<script>alert"}},
		"list for a reader":    {reader, "/operations", 200, []string{"Inventory sync"}, []string{"Sync now", "<dialog"}},
		"list filtered":        {owner, "/operations?status=completed&tenant=5", 200, []string{"Clear all", `value="completed" selected`, "status=completed&amp;tenant=5"}, nil},
		"filter that is none":  {owner, "/operations?status=asleep", 400, []string{"Status: &#34;asleep&#34; is not one of the choices"}, nil},
		"page token":           {owner, "/operations?page_token=bad", 400, []string{"Page_token: is not one of ours"}, nil},
		"chooser":              {both, "/operations", 200, []string{"Choose a workspace", "?workspace=3"}, nil},
		"chosen":               {both, "/operations?workspace=3", 200, []string{`value="3" selected`}, []string{"Sync now"}},
		"no workspace":         {nobody, "/operations", 200, []string{"Ask an owner"}, nil},
		"active run":           {owner, "/operations/11", 200, []string{"Cancel run", `data-active="true"`, `value="310"`, "Attempt 1 begun", "Coverage by policy type"}, nil},
		"active run, reader":   {reader, "/operations/11", 200, nil, []string{"Cancel run"}},
		"ended run":            {owner, "/operations/12", 200, []string{"permission", "Grant DeviceManagementApps", "Incomplete", "1 min 34 s", "&lt;img"}, []string{"<img", "Cancel run"}},
		"someone else's space": {owner, "/operations?workspace=2", 404, []string{"No such workspace, or you may not see it."}, nil},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, body := browse(t, srv, c.who, c.path)
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			for _, want := range c.has {
				if !strings.Contains(body, want) {
					t.Errorf("no %q in\n%s", want, body)
				}
			}
			for _, bad := range append(c.hasNot, "style=", "onclick", "javascript:") {
				if strings.Contains(body, bad) {
					t.Errorf("%q is in\n%s", bad, body)
				}
			}
		})
	}
}

func TestListAsksForWhatTheAddressSays(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	browse(t, srv, signIn(t, srv, "owner"), "/operations?status=completed&outcome=failed&type=inventory_sync&tenant=5&page_token=p")
	asked, _ := w.last().(*operationsv1.ListRunsRequest)
	want := `status = "completed" AND outcome = "failed" AND type = "inventory_sync" AND tenant_id = "5"`
	if asked.GetFilter() != want || asked.GetPageToken() != "p" || asked.GetWorkspaceId() != 1 {
		t.Errorf("asked %v", asked)
	}
}

// TestNotFoundPageIsOnePage is TestNotFoundIsOneAnswer for people.
func TestNotFoundPageIsOnePage(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := signIn(t, srv, "owner")
	for _, format := range []string{"/operations/%s", "/operations/%s/live"} {
		var first string
		for _, run := range []string{"99", "22", "0", "-1", "abc", "012", "99999999999999999999", "%3Cscript%3E", "%ff"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+fmt.Sprintf(format, run), nil)
			must(t, err)
			r.AddCookie(c)
			r.Header.Set("X-Request-Id", "test-request")
			resp, body := do(t, srv, r)
			resp.Header.Del("Date")
			whole := fmt.Sprintln(resp.StatusCode, resp.Header, body)
			if first == "" {
				first = whole
			}
			if resp.StatusCode != http.StatusNotFound || whole != first || !strings.Contains(strings.ToLower(body), "no such run, or you may not see it") {
				t.Errorf("%s: %s\nfirst was: %s", run, whole, first)
			}
		}
	}
}

func TestStartSync(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	owner, reader := signIn(t, srv, "owner"), signIn(t, srv, "reader")
	tests := map[string]struct {
		who               *http.Cookie
		workspace, tenant string
		status            int
	}{
		"ours":               {owner, "1", "5", 303},
		"no such tenant":     {owner, "1", "6", 404},
		"malformed":          {owner, "1", "five", 404},
		"foreign":            {owner, "2", "5", 404},
		"without capability": {reader, "1", "5", 403},
	}
	for name, c := range tests {
		resp, body := submit(t, srv, c.who, "/operations", url.Values{"workspace": {c.workspace}, "tenant": {c.tenant}, "request_id": {name}})
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
		if c.status != http.StatusSeeOther {
			continue
		}
		if asked, ok := w.last().(*inventoryv1.StartSyncRequest); !ok || asked.GetRequestId() != name || resp.Header.Get("Location") != "/operations/11" {
			t.Errorf("%s: asked %v, went to %q", name, w.last(), resp.Header.Get("Location"))
		}
	}
}

// An ended sync can be run again by who may start one; the run it makes repeats it.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	w.runs[14] = importedRun(t, 14, nil)
	w.runs[15] = endedRun(15, 1)
	w.runs[15].Type = "drift_generate_findings"
	owner, reader := signIn(t, srv, "owner"), signIn(t, srv, "reader")
	for path, offered := range map[string]bool{"/operations/11": false, "/operations/12": true, "/operations/14": false, "/operations/15": false} {
		if _, page := browse(t, srv, owner, path); strings.Contains(page, "Run again") != offered {
			t.Errorf("%s: offered %t", path, !offered)
		}
	}
	if _, page := browse(t, srv, reader, "/operations/12"); strings.Contains(page, "Run again") {
		t.Error("offered to a reader")
	}
	_, page := browse(t, srv, owner, "/operations/12")
	form := url.Values{}
	for _, name := range []string{"workspace", "tenant", "retry_of", "request_id"} {
		form.Set(name, between(page, `name="`+name+`" value="`, `"`))
	}
	resp, _ := submit(t, srv, owner, "/operations", form)
	asked, _ := w.last().(*inventoryv1.StartSyncRequest)
	if resp.Header.Get("Location") != "/operations/11" || asked.GetRetryOf() != 12 || asked.GetTenantId() != 5 || asked.GetRequestId() == "" {
		t.Errorf("asked %v, went to %q", asked, resp.Header.Get("Location"))
	}
	before := w.calls()
	form.Set("retry_of", "twelve")
	if resp, _ := submit(t, srv, owner, "/operations", form); resp.StatusCode != http.StatusNotFound || w.calls() != before {
		t.Errorf("of a malformed run: %d", resp.StatusCode)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	owner, reader := signIn(t, srv, "owner"), signIn(t, srv, "reader")
	form := url.Values{"reason": {"wrong <tenant>"}}
	if resp, _ := submit(t, srv, reader, "/operations/11/cancel", form); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a reader: %d", resp.StatusCode)
	}
	if resp, _ := submit(t, srv, owner, "/operations/22/cancel", form); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a foreign run: %d", resp.StatusCode)
	}
	for _, site := range []string{"cross-site", "same-site"} {
		before := w.calls()
		resp, _ := submit(t, srv, owner, "/operations/11/cancel", form, "Sec-Fetch-Site", site)
		if resp.StatusCode != http.StatusForbidden || w.calls() != before {
			t.Errorf("%s: %d", site, resp.StatusCode)
		}
	}
	if resp, _ := submit(t, srv, owner, "/operations/11/cancel", form, "Origin", "https://evil.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another origin: %d", resp.StatusCode)
	}
	resp, _ := submit(t, srv, owner, "/operations/11/cancel", form, "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/operations/11" {
		t.Errorf("cancel: %d", resp.StatusCode)
	}
	_, page := browse(t, srv, owner, "/operations/11")
	if !strings.Contains(page, "Cancelling") || !strings.Contains(page, "wrong &lt;tenant&gt;") || strings.Contains(page, "<dialog") {
		t.Error("the page doesn't say that cancellation was asked for")
	}
}

// TestWrongMethod names the right ones, for pages as for the API.
func TestWrongMethod(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	for path, allow := range map[string]string{
		"/operations": "GET, POST", "/operations/12": "GET", "/operations/12/cancel": "POST", "/livez": "GET",
		"/api/v1/operations/12": "GET", "/api/v1/operations/12:cancel": "POST", "/api/v1/workspaces/1/tenants/5": "DELETE, GET, PATCH",
	} {
		resp, _ := ask(t, srv, "owner", http.MethodPut, path, "")
		if got := resp.Header.Get("Allow"); resp.StatusCode != http.StatusMethodNotAllowed || got != allow {
			t.Errorf("%s: %d, allows %q", path, resp.StatusCode, got)
		}
	}
}

// TestHeaders holds the headers of every kind of answer to one golden file.
func TestHeaders(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := signIn(t, srv, "owner")
	_, page := browse(t, srv, nil, "/login")
	css := between(page, `href="/static/`, `"`)
	var b strings.Builder
	for _, path := range []string{
		"/", "/login", "/operations", "/operations/12", "/operations/99", "/nothing", "/static/" + css, "/static/app.css",
		"/api/v1/operations/12", "/openapi.json", "/livez", "/readyz", "/admin/operations",
	} {
		resp, _ := browse(t, srv, c, path)
		fmt.Fprintf(&b, "%s %d\n", strings.ReplaceAll(path, css, "app.HASH.css"), resp.StatusCode)
		var names []string
		for name := range resp.Header {
			if !slices.Contains([]string{"Date", "X-Request-Id", "Content-Length", "Traceparent"}, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, "  %s: %s\n", name, resp.Header.Get(name))
		}
	}
	golden(t, "headers.txt", b.String())
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

func TestReady(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	resp, body := browse(t, srv, nil, "/readyz?verbose")
	if want := "[+] operations\n[+] tenancy\n[+] inventory\nok\n"; resp.StatusCode != 200 || body != want {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}
