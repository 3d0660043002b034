package graph_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

const simTenant = "11111111-2222-3333-4444-555555555555"

// simSecret gets its tokens from the simulator's token endpoint.
type simSecret struct {
	client *http.Client
	url    string
}

func (s simSecret) Token(ctx context.Context, _ bool) (graph.Token, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"secret"},
		"scope": {"https://graph.microsoft.com/.default"},
	}
	u := s.url + "/" + simTenant + "/oauth2/v2.0/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		return graph.Token{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client.Do(req)
	if err != nil {
		return graph.Token{}, err
	}
	defer resp.Body.Close() // a test
	var got struct {
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(resp.Body).Decode(&got)
	return graph.Token{Value: got.AccessToken, ExpiresAt: time.Now().Add(time.Hour)}, err
}

// simulated is a client for a simulator over TLS, through the front door.
func simulated(t *testing.T, cfg graphsim.Config) *graph.Client {
	t.Helper()
	_, c := simulator(t, cfg)
	return c
}

func simulator(t *testing.T, cfg graphsim.Config) (*graphsim.Server, *graph.Client) {
	t.Helper()
	sim, err := graphsim.New(cfg)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections given up in mid-handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	c := graph.DefaultConfig()
	c.BaseURL = server.URL
	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AddCert(server.Certificate())
	c.Retry.BaseDelay = time.Millisecond
	if cfg.NoQuotas {
		c.Limits = graph.Unlimited()
	}
	pool, err := graph.NewPool(c)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return sim, pool.Client(simTenant, simSecret{server.Client(), server.URL})
}

func demo(size int) []graphsim.TenantConfig {
	return []graphsim.TenantConfig{{ID: simTenant, ClientID: "app", ClientSecret: "secret", Size: size, Seed: 7}}
}

// Every type of the catalog reads whole, twice the same.
func TestSimulator_everyType(t *testing.T) {
	t.Parallel()
	c := simulated(t, graphsim.Config{Tenants: demo(120), NoQuotas: true})
	for _, typ := range catalog.Types() {
		t.Run(typ.Name, func(t *testing.T) {
			t.Parallel()
			first, second := make(map[string]graph.Object), make(map[string]graph.Object)
			for _, into := range []map[string]graph.Object{first, second} {
				result, err := c.ReadType(t.Context(), typ, collect(into))
				require.NoError(t, err)
				for id, o := range into {
					require.NoError(t, o.Err, id)
				}
				require.True(t, result.Complete)
				require.Positive(t, result.Read)
			}
			require.Equal(t, len(first), len(second))
			for id, o := range first {
				require.NotEmpty(t, o.Name)
				require.Equal(t, o.Hash, second[id].Hash)
				require.Equal(t, string(o.Raw), string(second[id].Raw))
			}
		})
	}
}

// passing are faults that a read gets over; lasting end it, or leave objects
// out, with the given code. A member of a batch whose body is no JSON leaves its
// object out: only the list is asked for by itself, and so asked for again.
var (
	passing = map[string]graphsim.Rule{
		"throttled":           {Kind: graphsim.FaultStatus, Status: 429, Times: 2},
		"unavailable":         {Kind: graphsim.FaultStatus, Status: 503, Times: 2},
		"half a response":     {Kind: graphsim.FaultTruncated, Times: 1},
		"a web page":          {Kind: graphsim.FaultHTML, Times: 1},
		"an empty page first": {Kind: graphsim.FaultEmptyPage, Times: 1},
	}
	lasting = map[string]struct {
		graphsim.Rule
		code string
	}{
		"refused":        {graphsim.Rule{Kind: graphsim.FaultStatus, Status: 403}, "Forbidden"},
		"a loop":         {graphsim.Rule{Kind: graphsim.FaultLoop}, graph.CodeLoop},
		"a foreign link": {graphsim.Rule{Kind: graphsim.FaultEvilLink, Host: "graph.example.com"}, graph.CodeForeignHost},
	}
)

// under is every path that reading the type asks for: the list, the items, and
// what lies under them.
func under(typ catalog.Type) []string {
	list := "/" + typ.Version + typ.Path
	paths := []string{list}
	for _, c := range typ.Children {
		paths = append(paths, list+"/*/"+c.Name)
		for _, below := range c.Children {
			paths = append(paths, list+"/*/"+c.Name+"/*/"+below.Name)
		}
	}
	if typ.Assignments == catalog.AssignmentsByPath {
		paths = append(paths, list+"/*/assignments")
	}
	return paths
}

// Every path of every type may fail: what passes leaves the read whole, and what
// lasts never passes for the whole.
func TestSimulator_everyTypeWithFaults(t *testing.T) {
	t.Parallel()
	for _, typ := range catalog.Types() {
		t.Run(typ.Name, func(t *testing.T) {
			t.Parallel()
			tenant := demo(0)
			tenant[0].Counts = map[string]int{typ.Name: 6, "groups": 3}
			sim, c := simulator(t, graphsim.Config{Tenants: tenant, NoQuotas: true})
			want := readAll(t, c, typ)
			for _, path := range under(typ) {
				for name, rule := range passing {
					if member := path != under(typ)[0]; member && (rule.Kind == graphsim.FaultTruncated || rule.Kind == graphsim.FaultHTML) {
						continue
					}
					rule.Path = path
					require.NoError(t, sim.SetFaults([]graphsim.Rule{rule}))
					require.Equal(t, want, readAll(t, c, typ), "%s at %s", name, path)
					require.Positive(t, sim.Struck()[0], "%s at %s", name, path)
				}
				for name, rule := range lasting {
					rule.Path = path
					require.NoError(t, sim.SetFaults([]graphsim.Rule{rule.Rule}))
					// Where elements have collections of their own, seeing one twice is noticed first.
					require.Contains(t, []string{rule.code, graph.CodeIncomplete}, codeOf(t, c, typ), "%s at %s", name, path)
				}
			}
		})
	}
}

// readAll are the hashes of all objects of a type, each of which is whole.
func readAll(t *testing.T, c *graph.Client, typ catalog.Type) map[string][32]byte {
	t.Helper()
	hashes := map[string][32]byte{}
	result, err := c.ReadType(t.Context(), typ, func(o graph.Object) error {
		hashes[o.ID] = o.Hash
		return o.Err
	})
	require.NoError(t, err)
	require.True(t, result.Complete)
	return hashes
}

// codeOf is why a type could not be read whole, or one of its objects.
func codeOf(t *testing.T, c *graph.Client, typ catalog.Type) string {
	t.Helper()
	var first error
	result, err := c.ReadType(t.Context(), typ, func(o graph.Object) error {
		if first == nil {
			first = o.Err
		}
		return nil
	})
	if err == nil {
		err = first
		require.Positive(t, result.Failed)
	}
	require.False(t, result.Complete)
	var e *graph.Error
	require.ErrorAs(t, err, &e)
	return e.Code
}

func TestSimulator_faults(t *testing.T) {
	t.Parallel()
	const list = "/beta/deviceManagement/configurationPolicies"
	tests := map[string]struct {
		rule   graphsim.Rule
		failed int    // objects
		code   string // of the whole, or of the failed object
	}{
		"throttled with Retry-After": {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultStatus, Status: 429, RetryAfter: 1, Times: 1}},
		"a throttled member":         {rule: graphsim.Rule{Path: list + "/*/settings", Kind: graphsim.FaultStatus, Status: 429, Times: 3}},
		"reset":                      {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultReset, Times: 2}},
		"truncated":                  {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultTruncated, Times: 2}},
		"truncated batch":            {rule: graphsim.Rule{Path: "/beta/$batch", Kind: graphsim.FaultTruncated, Times: 2}},
		"HTML":                       {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultHTML, Times: 2}},
		"an empty page first":        {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultEmptyPage, Times: 1}},
		"a loop":                     {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultLoop}, code: graph.CodeLoop},
		"a foreign link":             {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultEvilLink, Host: "graph.example.com"}, code: graph.CodeForeignHost},
		"refused for good":           {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultStatus, Status: 403}, code: "Forbidden"},
		"oversize":                   {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultOversize, Bytes: 40 << 20}, code: graph.CodeTooLarge},
		"a member always in HTML":    {rule: graphsim.Rule{Path: list + "/*/settings", Kind: graphsim.FaultHTML}, failed: -1, code: graph.CodeMalformed},
		"settingCount wrong":         {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultSettingCount, Times: 1}, failed: -1, code: graph.CodeIncomplete},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settingsCatalog, _ := catalog.Lookup("configurationPolicies")
			c := simulated(t, graphsim.Config{Tenants: demo(60), NoQuotas: true, Faults: []graphsim.Rule{test.rule}})
			got := make(map[string]graph.Object)
			result, err := c.ReadType(t.Context(), settingsCatalog, collect(got))
			require.Equal(t, test.code == "", result.Complete)
			for _, o := range got {
				if err == nil {
					err = o.Err
				}
			}
			require.Equal(t, test.failed != 0, result.Failed > 0)
			if test.code == "" {
				require.NoError(t, err)
				return
			}
			var e *graph.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.code, e.Code)
		})
	}
}

func collect(into map[string]graph.Object) func(graph.Object) error {
	return func(o graph.Object) error {
		into[o.ID] = o
		return nil
	}
}
