package graphsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// faulty serves one rule on the policy list.
func faulty(t *testing.T, rule graphsim.Rule) *world {
	t.Helper()
	if rule.Path == "" {
		rule.Path = policies
	}
	return setup(t, graphsim.Config{NoQuotas: true, Now: newClock().now, Faults: []graphsim.Rule{rule}})
}

func TestScriptedStatuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule       graphsim.Rule
		retryAfter string
	}{
		"429 in seconds": {graphsim.Rule{Status: 429, RetryAfter: 7}, "7"},
		"429 as a date":  {graphsim.Rule{Status: 429, RetryAfter: 7, AsDate: true}, "Fri, 01 May 2026 12:00:07 GMT"},
		"429 bare":       {graphsim.Rule{Status: 429}, ""},
		"503":            {graphsim.Rule{Status: 503, RetryAfter: 1}, "1"},
		"500":            {graphsim.Rule{Status: 500}, ""},
		"403":            {graphsim.Rule{Status: 403, Code: "Forbidden"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.rule.Kind = graphsim.FaultStatus
			r := faulty(t, tt.rule).do(http.MethodGet, policies, "")
			if r.status != tt.rule.Status || r.header.Get("Retry-After") != tt.retryAfter {
				t.Errorf("%d, Retry-After %q", r.status, r.header.Get("Retry-After"))
			}
			r.graphError()
		})
	}
}

func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	w := faulty(t, graphsim.Rule{Kind: graphsim.FaultReset, Times: 1})
	resp, err := w.try(http.MethodGet, policies, "")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("reset: the body came whole")
	}
	w.get(policies) // Times: 1

	r := faulty(t, graphsim.Rule{Kind: graphsim.FaultTruncated}).do(http.MethodGet, policies, "")
	if r.status != 200 || len(r.body) == 0 || json.Valid(r.body) {
		t.Errorf("truncated: %d, %d bytes, valid %t", r.status, len(r.body), json.Valid(r.body))
	}
	r = faulty(t, graphsim.Rule{Kind: graphsim.FaultHTML}).do(http.MethodGet, policies, "")
	if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.HasPrefix(string(r.body), "<!DOCTYPE") {
		t.Errorf("html: %d %s", r.status, r.body)
	}
	r = faulty(t, graphsim.Rule{Kind: graphsim.FaultOversize, Bytes: 3 << 20}).do(http.MethodGet, policies, "")
	if len(r.body) != 3<<20 || !json.Valid(r.body) {
		t.Errorf("oversize: %d bytes", len(r.body))
	}
}

func TestBentLinksAndCounts(t *testing.T) {
	t.Parallel()
	w := faulty(t, graphsim.Rule{Kind: graphsim.FaultLoop})
	one := w.get(policies).page()
	two := w.get(one.Next).page()
	if one.Next == "" || two.Next != one.Next || len(two.Value) != len(one.Value) {
		t.Errorf("loop: %q, then %q", one.Next, two.Next)
	}
	if p := faulty(t, graphsim.Rule{Kind: graphsim.FaultEvilLink}).get(policies).page(); !strings.HasPrefix(p.Next, "https://graph.example.net/") {
		t.Errorf("evil link: %q", p.Next)
	}
	w = faulty(t, graphsim.Rule{Kind: graphsim.FaultEmptyPage, Times: 1})
	empty := w.get(policies).page()
	if len(empty.Value) != 0 || len(w.get(empty.Next).page().Value) == 0 {
		t.Errorf("empty page: %+v", empty)
	}
	w = faulty(t, graphsim.Rule{Kind: graphsim.FaultSettingCount, Path: policies + "*", Times: 2})
	listed := object(t, w.get(policies).page().Value[0])
	item := w.get(policies + "/" + listed["id"].(string)).object()
	true_ := w.get(policies + "/" + listed["id"].(string)).object()
	if listed["settingCount"] != true_["settingCount"].(float64)+1 || item["settingCount"] != listed["settingCount"] {
		t.Errorf("settingCount %v and %v, truly %v", listed["settingCount"], item["settingCount"], true_["settingCount"])
	}
}

func TestOmittedObjectsAreStillThere(t *testing.T) {
	t.Parallel()
	w := faulty(t, graphsim.Rule{Kind: graphsim.FaultOmit})
	ids := w.Tenant(tenantID).IDs("configurationPolicies")
	if first := object(t, w.get(policies).page().Value[0]); first["id"] != ids[1] {
		t.Errorf("the list begins with %v, want the second, %s", first["id"], ids[1])
	}
	if got := w.get(policies + "/" + ids[0]).object(); got["id"] != ids[0] {
		t.Errorf("asked for by id: %v", got)
	}
}

func TestHangEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	w := faulty(t, graphsim.Rule{Kind: graphsim.FaultHang})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+policies, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.http.Do(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err %v", err)
	}
}

func TestSlowAndLatencyDelay(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{
		"slow":    faulty(t, graphsim.Rule{Kind: graphsim.FaultSlow, DelayMS: 60}),
		"latency": setup(t, graphsim.Config{Latency: 60 * time.Millisecond}),
	} {
		start := time.Now()
		w.get(policies)
		if took := time.Since(start); took < 60*time.Millisecond {
			t.Errorf("%s: answered after %s", name, took)
		}
	}
}

func TestRulesMatchAndCount(t *testing.T) {
	t.Parallel()
	status := func(code int, r graphsim.Rule) graphsim.Rule {
		r.Kind, r.Status = graphsim.FaultStatus, code
		return r
	}
	w := setup(t, graphsim.Config{NoQuotas: true, Faults: []graphsim.Rule{
		status(500, graphsim.Rule{Method: "DELETE", Path: "*"}),
		status(501, graphsim.Rule{Path: "*", Tenant: "somebody else"}),
		status(502, graphsim.Rule{Path: "/beta/deviceManagement/*/settings", After: 1, Times: 2}),
	}})
	path := policies + "/" + w.Tenant(tenantID).IDs("configurationPolicies")[0]
	var got []int
	for range 4 {
		got = append(got, w.do(http.MethodGet, path+"/settings", "").status)
	}
	if want := [4]int{200, 502, 502, 200}; [4]int(got) != want {
		t.Errorf("statuses %v, want %v", got, want)
	}
	w.get(path)
	if r := w.do(http.MethodDelete, path, ""); r.status != 500 {
		t.Errorf("DELETE: %d", r.status)
	}
	if struck := w.Struck(); !slices.Equal(struck, []int{1, 0, 2}) {
		t.Errorf("struck %v", struck)
	}
}

func TestFaultsReachBatchMembersAndTokens(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	if err := w.SetFaults([]graphsim.Rule{
		{Path: "/beta/groups", Kind: graphsim.FaultStatus, Status: 429, RetryAfter: 3},
		{Path: "*/oauth2/v2.0/token", Tenant: tenantID, Kind: graphsim.FaultStatus, Status: 503},
	}); err != nil {
		t.Fatal(err)
	}
	if r := w.batch(`{"id":"1","method":"GET","url":"/groups"}`)[0]; r.Status != 429 || r.Headers["Retry-After"] != "3" {
		t.Errorf("member %+v", r)
	}
	if r := w.askToken(tenantID, nil); r.status != 503 {
		t.Errorf("token: %d", r.status)
	}
}

func TestSenselessRulesAreRefused(t *testing.T) {
	t.Parallel()
	for _, r := range []graphsim.Rule{
		{Path: "*", Kind: "explode"}, {Kind: graphsim.FaultHTML}, {Path: "*", Kind: graphsim.FaultStatus, Status: 200}, {Path: "*", Kind: graphsim.FaultSlow, DelayMS: -1},
	} {
		_, err := graphsim.New(graphsim.Config{Tenants: []graphsim.TenantConfig{{ID: "t", ClientID: "c", ClientSecret: "s"}}, Faults: []graphsim.Rule{r}})
		if err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}
