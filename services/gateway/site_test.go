package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

// Pages and streams for ids that are malformed, missing and foreign have the same status,
// headers and bytes.
func TestNotFoundPageIsOnePage(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := webtest.SignIn(t, srv, "owner")
	for _, format := range []string{"/operations/%s", "/operations/%s/live"} {
		var first string
		for _, run := range []string{"99", "22", "0", "-1", "abc", "012", "99999999999999999999", "%3Cscript%3E", "%ff"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+fmt.Sprintf(format, run), nil)
			webtest.Must(t, err)
			r.AddCookie(c)
			r.Header.Set("X-Request-Id", "test-request")
			resp, body := webtest.Do(t, srv, r)
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

// A request with a wrong method is told the right ones, by pages as by the API.
func TestWrongMethod(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	for path, allow := range map[string]string{
		"/operations": "GET, POST", "/operations/12": "GET", "/operations/12/cancel": "POST", "/livez": "GET",
		"/api/v1/operations/12": "GET", "/api/v1/operations/12:cancel": "POST", "/api/v1/workspaces/1/tenants/5": "DELETE, GET, PATCH",
	} {
		resp, _ := webtest.Ask(t, srv, "owner", http.MethodPut, path, "")
		if got := resp.Header.Get("Allow"); resp.StatusCode != http.StatusMethodNotAllowed || got != allow {
			t.Errorf("%s: %d, allows %q", path, resp.StatusCode, got)
		}
	}
}

// TestHeaders compares the headers of every kind of response with one golden file.
func TestHeaders(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	c := webtest.SignIn(t, srv, "owner")
	_, page := webtest.Browse(t, srv, nil, "/login")
	css := webtest.Between(page, `href="/static/`, `"`)
	var b strings.Builder
	for _, path := range []string{
		"/", "/login", "/operations", "/operations/12", "/operations/99", "/nothing", "/static/" + css, "/static/app.css",
		"/api/v1/operations/12", "/openapi.json", "/livez", "/readyz", "/admin/operations",
	} {
		resp, _ := webtest.Browse(t, srv, c, path)
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
	webtest.Golden(t, "headers.txt", b.String())
}

func TestReady(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	resp, body := webtest.Browse(t, srv, nil, "/readyz?verbose")
	var want string
	for _, s := range (Targets{}).services() {
		want += "[+] " + s.name + "\n"
	}
	if want += "ok\n"; resp.StatusCode != 200 || body != want {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

// TestOpenAPIDescribesTheStreamsParameters sends each described parameter a value that
// it does not take, and looks for its name in the error.
func TestOpenAPIDescribesTheStreamsParameters(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	_, described := webtest.Browse(t, srv, nil, "/openapi.json")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(described))
	webtest.Must(t, err)
	const stream = "/api/v1/workspaces/{workspace_id}/operations:watch"
	path := strings.ReplaceAll(stream, "{workspace_id}", "1")
	for _, p := range doc.Paths.Value(stream).Get.Parameters {
		if p.Value.In != openapi3.ParameterInQuery {
			continue
		}
		resp, body := webtest.Ask(t, srv, "reader", http.MethodGet, path+"?"+url.Values{p.Value.Name: {"?"}}.Encode(), "")
		if resp.StatusCode != http.StatusBadRequest || strings.Contains(body, "is not a parameter") || !strings.Contains(body, `"field":"`+p.Value.Name+`"`) {
			t.Errorf("%s: %d %s", p.Value.Name, resp.StatusCode, body)
		}
	}
}

// TestWhatHasNoRequestID lists the methods that have no request_id, so that an
// Idempotency-Key does nothing for them. Except for CreateApiToken, each of them must be
// harmless to repeat.
func TestWhatHasNoRequestID(t *testing.T) {
	t.Parallel()
	var got []string
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				binding, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
				if binding.GetPattern() != nil && binding.GetGet() == "" && m.Input().Fields().ByName("request_id") == nil {
					got = append(got, string(m.Name()))
				}
			}
		}
		return true
	})
	slices.Sort(got)
	want := []string{
		"CancelRun", "CreateApiToken", "DeleteSyncSchedule", "DeleteTenant", "RemoveMember", "RevokeApiToken",
		"SetGraphConnection", "UpdateMember", "UpdateSyncSchedule", "UpdateTenant",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// setup serves the whole gateway over a new world.
func setup(t *testing.T, more ...func(*parts)) (*httptest.Server, *webtest.World) {
	t.Helper()
	made, w := partsOf(t)
	for _, f := range more {
		f(&made)
	}
	site, err := made.site(t.Context())
	webtest.Must(t, err)
	return webtest.Open(t, site), w
}

// partsOf returns what a gateway over a new world is made of.
func partsOf(t *testing.T) (parts, *webtest.World) {
	t.Helper()
	w := webtest.NewWorld()
	services := Targets{}.services()
	var names []string
	for _, s := range services {
		names = append(names, s.name)
	}
	backends, signer := w.Serve(t, names...)
	closing := make(chan struct{})
	t.Cleanup(func() { close(closing) })
	return parts{
		backends: backends, handlers: handlersOf(services), signer: signer, sessionKey: make([]byte, 32),
		rate: 1000, burst: 1000, closing: closing, log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, w
}
