package graphsim_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

func TestQuotas(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, path string
		burst        int // calls that pass at once
		retryAfter   bool
		recovers     time.Duration // until one more passes
	}{
		"Intune reads":       {"GET", "/beta/deviceManagement/roleScopeTags?$top=1", 1000, true, time.Second},
		"Intune writes":      {"POST", "/beta/deviceManagement/configurationPolicies", 100, true, time.Second},
		"conditional access": {"GET", "/beta/identity/conditionalAccess/policies", 1, false, 3 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			w := setup(t, graphsim.Config{Now: c.now, TokenLife: time.Hour})
			for i := range tt.burst {
				if r := w.do(tt.method, tt.path, ""); r.status == http.StatusTooManyRequests {
					t.Fatalf("throttled at call %d of %d", i+1, tt.burst)
				}
			}
			r := w.do(tt.method, tt.path, "")
			if r.status != http.StatusTooManyRequests {
				t.Fatalf("call %d passed: %d", tt.burst+1, r.status)
			}
			wait, _ := strconv.Atoi(r.header.Get("Retry-After"))
			if (wait > 0) != tt.retryAfter {
				t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
			}
			c.at = c.at.Add(tt.recovers)
			if r := w.do(tt.method, tt.path, ""); r.status == http.StatusTooManyRequests {
				t.Errorf("still throttled after %s", tt.recovers)
			}
		})
	}
}

func TestThrottledCallsCount(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := setup(t, graphsim.Config{Now: c.now})
	const path = "/beta/identity/conditionalAccess/namedLocations"
	for range 4 {
		w.do(http.MethodGet, path, "")
	}
	c.at = c.at.Add(time.Second)
	if r := w.do(http.MethodGet, path, ""); r.status != http.StatusTooManyRequests {
		t.Errorf("hammering paid: %d", r.status)
	}
	c.at = c.at.Add(3 * time.Second)
	w.get(path)
}

func TestWorkloadsAndTenantsHaveBucketsOfTheirOwn(t *testing.T) {
	t.Parallel()
	c := newClock()
	const other = "22222222-0000-4000-8000-000000000000"
	w := setup(t, graphsim.Config{Now: c.now, Tenants: []graphsim.TenantConfig{{Size: 20}, {ID: other, Size: 20}}})
	const path = "/beta/identity/conditionalAccess/policies"
	w.get(path)
	w.get(policies)
	w.token = w.tokenFor(other)
	w.get(path)
}
