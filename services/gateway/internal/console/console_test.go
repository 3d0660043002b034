package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

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
		resp, _ := webtest.Browse(t, srv, nil, path)
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("%s: %d to %q, want %q", path, resp.StatusCode, got, want)
		}
	}
	if w.Calls() > 0 {
		t.Error("a stranger's request reached a service")
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := webtest.SignIn(t, srv, "owner")
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || strings.Contains(c.Value, "tp_owner") {
		t.Errorf("cookie %+v", c)
	}
	resp, body := webtest.Submit(t, srv, nil, "/login", url.Values{"token": {"tp_guess"}, "next": {"/operations/12"}})
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "unknown, expired or revoked") || !strings.Contains(body, `value="/operations/12"`) {
		t.Errorf("a wrong token: %d %s", resp.StatusCode, body)
	}
	spoiled := *c
	spoiled.Value = spoiled.Value[:len(spoiled.Value)-4] + "AAAA"
	if resp, _ := webtest.Browse(t, srv, &spoiled, "/operations"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a tampered cookie: %d", resp.StatusCode)
	}
	out, _ := webtest.Submit(t, srv, c, "/logout", nil)
	if gone := out.Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Errorf("signing out leaves %v", gone)
	}
}

func TestSessionCookieOverTLS(t *testing.T) {
	t.Parallel()
	s, err := newSessions(make([]byte, 32), time.Now)
	webtest.Must(t, err)
	for host, want := range map[string]string{
		"console.example.com": "__Host-tenantpilot", "localhost:7080": "tenantpilot", "127.0.0.1:7080": "tenantpilot", "[::1]:7080": "tenantpilot",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host = host
		c, err := s.cookie(r, "tp_x")
		webtest.Must(t, err)
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
	now := webtest.Start()
	s, err := newSessions(make([]byte, 32), func() time.Time { return now })
	webtest.Must(t, err)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	c, err := s.cookie(r, "tp_x")
	webtest.Must(t, err)
	r.AddCookie(c)
	if now = webtest.Start().Add(sessionLife); s.token(r) != "" {
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

// TestPages looks for text that a page must have, and for text that no page may have.
func TestPages(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	owner, reader, both, nobody := webtest.SignIn(t, srv, "owner"), webtest.SignIn(t, srv, "reader"), webtest.SignIn(t, srv, "both"), webtest.SignIn(t, srv, "nobody")
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
		"malformed filter":     {owner, "/operations?status=asleep", 400, []string{"Status: &#34;asleep&#34; is not one of the choices"}, nil},
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
			resp, body := webtest.Browse(t, srv, c.who, c.path)
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
	webtest.Browse(t, srv, webtest.SignIn(t, srv, "owner"), "/operations?status=completed&outcome=failed&type=inventory_sync&tenant=5&page_token=p")
	asked, _ := w.Last().(*operationsv1.ListRunsRequest)
	want := `status = "completed" AND outcome = "failed" AND type = "inventory_sync" AND tenant_id = "5"`
	if asked.GetFilter() != want || asked.GetPageToken() != "p" || asked.GetWorkspaceId() != 1 {
		t.Errorf("asked %v", asked)
	}
}

func TestStartSync(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	owner, reader := webtest.SignIn(t, srv, "owner"), webtest.SignIn(t, srv, "reader")
	_, page := webtest.Browse(t, srv, owner, "/operations")
	offered := webtest.Between(page, `name="type" value="`, `"`)
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
		resp, body := webtest.Submit(t, srv, c.who, "/operations", url.Values{
			"type": {offered}, "workspace": {c.workspace}, "tenant": {c.tenant}, "request_id": {name},
		})
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
		if c.status != http.StatusSeeOther {
			continue
		}
		if asked, ok := w.Last().(*inventoryv1.StartSyncRequest); !ok || asked.GetRequestId() != name || resp.Header.Get("Location") != "/operations/11" {
			t.Errorf("%s: asked %v, went to %q", name, w.Last(), resp.Header.Get("Location"))
		}
	}
}

// Who may start a sync can run an ended one again. The new run repeats the old one.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	w.Runs[14] = webtest.ImportedRun(t, 14, nil)
	w.Runs[15] = webtest.EndedRun(15, 1)
	w.Runs[15].Type = "drift_generate_findings"
	owner, reader := webtest.SignIn(t, srv, "owner"), webtest.SignIn(t, srv, "reader")
	for path, offered := range map[string]bool{"/operations/11": false, "/operations/12": true, "/operations/14": false, "/operations/15": false} {
		if _, page := webtest.Browse(t, srv, owner, path); strings.Contains(page, "Run again") != offered {
			t.Errorf("%s: offered %t", path, !offered)
		}
	}
	if _, page := webtest.Browse(t, srv, reader, "/operations/12"); strings.Contains(page, "Run again") {
		t.Error("offered to a reader")
	}
	_, page := webtest.Browse(t, srv, owner, "/operations/12")
	form := url.Values{}
	for _, name := range []string{"type", "workspace", "tenant", "retry_of", "request_id"} {
		form.Set(name, webtest.Between(page, `name="`+name+`" value="`, `"`))
	}
	resp, _ := webtest.Submit(t, srv, owner, "/operations", form)
	asked, _ := w.Last().(*inventoryv1.StartSyncRequest)
	if resp.Header.Get("Location") != "/operations/11" || asked.GetRetryOf() != 12 || asked.GetTenantId() != 5 || asked.GetRequestId() == "" {
		t.Errorf("asked %v, went to %q", asked, resp.Header.Get("Location"))
	}
	before := w.Calls()
	form.Set("retry_of", "twelve")
	if resp, _ := webtest.Submit(t, srv, owner, "/operations", form); resp.StatusCode != http.StatusNotFound || w.Calls() != before {
		t.Errorf("of a malformed run: %d", resp.StatusCode)
	}
	form.Set("retry_of", "12")
	for _, name := range []string{"drift_generate_findings", ""} {
		form.Set("type", name)
		if resp, _ := webtest.Submit(t, srv, owner, "/operations", form); resp.StatusCode != http.StatusBadRequest || w.Calls() != before {
			t.Errorf("of the type %q, which is not started here: %d", name, resp.StatusCode)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	owner, reader := webtest.SignIn(t, srv, "owner"), webtest.SignIn(t, srv, "reader")
	form := url.Values{"reason": {"wrong <tenant>"}}
	if resp, _ := webtest.Submit(t, srv, reader, "/operations/11/cancel", form); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a reader: %d", resp.StatusCode)
	}
	if resp, _ := webtest.Submit(t, srv, owner, "/operations/22/cancel", form); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a foreign run: %d", resp.StatusCode)
	}
	for _, site := range []string{"cross-site", "same-site"} {
		before := w.Calls()
		resp, _ := webtest.Submit(t, srv, owner, "/operations/11/cancel", form, "Sec-Fetch-Site", site)
		if resp.StatusCode != http.StatusForbidden || w.Calls() != before {
			t.Errorf("%s: %d", site, resp.StatusCode)
		}
	}
	if resp, _ := webtest.Submit(t, srv, owner, "/operations/11/cancel", form, "Origin", "https://evil.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another origin: %d", resp.StatusCode)
	}
	resp, _ := webtest.Submit(t, srv, owner, "/operations/11/cancel", form, "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/operations/11" {
		t.Errorf("cancel: %d", resp.StatusCode)
	}
	_, page := webtest.Browse(t, srv, owner, "/operations/11")
	if !strings.Contains(page, "Cancelling") || !strings.Contains(page, "wrong &lt;tenant&gt;") || strings.Contains(page, "<dialog") {
		t.Error("the page doesn't say that cancellation was asked for")
	}
}

// A console whose pages ask for a service that the gateway does not have is not made.
func TestMissingService(t *testing.T) {
	t.Parallel()
	site, backends, _ := webtest.NewSite(t, nil)
	for i, missing := range backends {
		_, err := New(Config{Site: site, Backends: slices.Delete(slices.Clone(backends), i, i+1), SessionKey: make([]byte, 32)})
		if err == nil || !strings.Contains(err.Error(), `no service "`+missing.Name+`": add its row`) {
			t.Errorf("without %s: %v", missing.Name, err)
		}
	}
}
