package graph

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

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

const simTenant = "11111111-2222-3333-4444-555555555555"

// simSecret gets its tokens from the simulator's token endpoint.
type simSecret struct {
	client *http.Client
	url    string
}

func (s simSecret) Token(ctx context.Context, _ bool) (Token, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"secret"},
		"scope": {"https://graph.microsoft.com/.default"},
	}
	u := s.url + "/" + simTenant + "/oauth2/v2.0/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client.Do(req)
	if err != nil {
		return Token{}, err
	}
	defer resp.Body.Close() // a test
	var got struct {
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(resp.Body).Decode(&got)
	return Token{Value: got.AccessToken, ExpiresAt: time.Now().Add(time.Hour)}, err
}

// simulated is a client for a simulator over TLS, through the front door.
func simulated(t *testing.T, cfg graphsim.Config) *Client {
	t.Helper()
	sim, err := graphsim.New(cfg)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections given up in mid-handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	c := DefaultConfig()
	c.BaseURL = server.URL
	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AddCert(server.Certificate())
	c.Retry.BaseDelay = time.Millisecond
	if cfg.NoQuotas {
		c.Limits = Unlimited()
	}
	pool, err := NewPool(c)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool.Client(simTenant, simSecret{server.Client(), server.URL})
}

func demo(size int) []graphsim.TenantConfig {
	return []graphsim.TenantConfig{{ID: simTenant, ClientID: "app", ClientSecret: "secret", Size: size, Seed: 7}}
}

// Every type of the catalog reads whole, twice the same.
func TestSimulator_everyType(t *testing.T) {
	t.Parallel()
	c := simulated(t, graphsim.Config{Tenants: demo(120), NoQuotas: true})
	for _, typ := range Catalog() {
		t.Run(typ.Name, func(t *testing.T) {
			t.Parallel()
			first, second := make(map[string]Object), make(map[string]Object)
			for _, into := range []map[string]Object{first, second} {
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
		"a loop":                     {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultLoop}, code: CodeLoop},
		"a foreign link":             {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultEvilLink, Host: "graph.example.com"}, code: CodeForeignHost},
		"refused for good":           {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultStatus, Status: 403}, code: "Forbidden"},
		"oversize":                   {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultOversize, Bytes: 40 << 20}, code: CodeTooLarge},
		"a member always in HTML":    {rule: graphsim.Rule{Path: list + "/*/settings", Kind: graphsim.FaultHTML}, failed: -1, code: CodeMalformed},
		"settingCount wrong":         {rule: graphsim.Rule{Path: list, Kind: graphsim.FaultSettingCount, Times: 1}, failed: -1, code: CodeIncomplete},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := simulated(t, graphsim.Config{Tenants: demo(60), NoQuotas: true, Faults: []graphsim.Rule{test.rule}})
			got := make(map[string]Object)
			result, err := c.ReadType(t.Context(), mustLookup(t, "configurationPolicies"), collect(got))
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
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.code, e.Code)
		})
	}
}

// A certificate nobody vouches for does not get better by repetition.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(fault{})
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	cfg := DefaultConfig()
	cfg.BaseURL = server.URL
	pool, err := NewPool(cfg)
	require.NoError(t, err)
	c := pool.Client("t", &secret{expiry: time.Now().Add(time.Hour)})
	_, err = c.Get(t.Context(), "/beta/x")
	require.Equal(t, "dependency", ReasonCode(err))
	require.False(t, Retryable(err))
	require.EqualValues(t, 1, c.sent.Load())
}
