package graphsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

const (
	tenantID = graphsim.DemoTenant
	clientID = graphsim.DemoClient
	secret   = "s3cret-of-the-test"
)

// world is a simulator on a real port and a client that trusts it.
type world struct {
	*graphsim.Server
	t     *testing.T
	url   string
	http  *http.Client
	token string
}

// setup serves cfg; a config without tenants gets one of 60 policies, and all
// get the test's credentials.
func setup(t *testing.T, cfg graphsim.Config) *world {
	t.Helper()
	if cfg.Tenants == nil {
		cfg.Tenants = []graphsim.TenantConfig{{Size: 60, Seed: 1}}
	}
	for i := range cfg.Tenants {
		if cfg.Tenants[i].ID == "" {
			cfg.Tenants[i].ID = tenantID
		}
		cfg.Tenants[i].ClientID, cfg.Tenants[i].ClientSecret = clientID, secret
	}
	sim, err := graphsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(sim)
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	w := &world{Server: sim, t: t, url: srv.URL, http: srv.Client()}
	w.token = w.tokenFor(tenantID)
	return w
}

// clock is a time tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{at: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (w *world) tokenFor(tenant string) string {
	w.t.Helper()
	r := w.askToken(tenant, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {secret}, "scope": {"https://graph.microsoft.com/.default"},
	})
	if r.status != http.StatusOK {
		w.t.Fatalf("token: %d %s", r.status, r.body)
	}
	return r.str("access_token")
}

func (w *world) askToken(tenant string, form url.Values) reply {
	w.t.Helper()
	resp, err := w.http.PostForm(w.url+"/"+tenant+"/oauth2/v2.0/token", form)
	return w.reply(resp, err)
}

// reply is an answer as a client sees it.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

func (w *world) reply(resp *http.Response, err error) reply {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{t: w.t, status: resp.StatusCode, header: resp.Header, body: body}
}

// do sends one request with the world's token; path may be a whole nextLink.
func (w *world) do(method, path, body string) reply {
	w.t.Helper()
	resp, err := w.try(method, path, body)
	return w.reply(resp, err)
}

func (w *world) try(method, path, body string) (*http.Response, error) {
	if strings.HasPrefix(path, "/") {
		path = w.url + path
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return w.http.Do(r)
}

// get fetches a path that must answer 200.
func (w *world) get(path string) reply {
	w.t.Helper()
	r := w.do(http.MethodGet, path, "")
	if r.status != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, r.status, r.body)
	}
	return r
}

// all reads a collection to its end and says how many pages it took.
func (w *world) all(path string) (els []json.RawMessage, pages int) {
	w.t.Helper()
	for path != "" {
		p := w.get(path).page()
		els = append(els, p.Value...)
		path = p.Next
		if pages++; pages > 1000 {
			w.t.Fatal("the pages do not end")
		}
	}
	return els, pages
}

type page struct {
	Context string            `json:"@odata.context"`
	Next    string            `json:"@odata.nextLink"`
	Value   []json.RawMessage `json:"value"`
}

func (r reply) page() page {
	r.t.Helper()
	var p page
	if err := json.Unmarshal(r.body, &p); err != nil {
		r.t.Fatalf("page: %v in %.200s", err, r.body)
	}
	return p
}

func (r reply) object() map[string]any { return object(r.t, r.body) }

func (r reply) str(key string) string {
	s, _ := r.object()[key].(string)
	return s
}

// graphError returns the code and message of a Graph error.
func (r reply) graphError() (code, message string) {
	r.t.Helper()
	var e struct {
		Error struct {
			Code, Message string
			InnerError    map[string]string
		}
	}
	if err := json.Unmarshal(r.body, &e); err != nil {
		r.t.Fatalf("error: %v in %.200s", err, r.body)
	}
	if e.Error.InnerError["request-id"] == "" || e.Error.InnerError["request-id"] != r.header.Get("request-id") {
		r.t.Errorf("request-id %q in the body, %q in the header", e.Error.InnerError["request-id"], r.header.Get("request-id"))
	}
	return e.Error.Code, e.Error.Message
}

func object(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("object: %v in %.200s", err, raw)
	}
	return m
}
