package jsonapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	inventoryv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/inventory/v1"
	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

func TestGetRun(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	resp, body := webtest.Ask(t, srv, "reader", "GET", "/api/v1/operations/12", "")
	var answer struct {
		Run struct {
			ID            string            `json:"id"`
			SummaryCounts map[string]string `json:"summary_counts"`
			Outcome       string            `json:"outcome"`
		} `json:"run"`
	}
	webtest.Must(t, json.Unmarshal([]byte(body), &answer))
	if resp.StatusCode != 200 || answer.Run.ID != "12" || answer.Run.SummaryCounts["total"] != "1240" || answer.Run.Outcome != "RUN_OUTCOME_PARTIALLY_SUCCEEDED" {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}

// TestProblems compares the body of every kind of error with a golden file.
func TestProblems(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	deep := strings.Repeat(`{"types":[`, 40) + strings.Repeat(`]}`, 40)
	tests := map[string]struct {
		token, method, path, body string
		headers                   []string
		status                    int
	}{
		"no_token":           {"", "GET", "/api/v1/operations/12", "", nil, 401},
		"unknown_token":      {"guess", "GET", "/api/v1/operations/12", "", nil, 401},
		"missing_run":        {"owner", "GET", "/api/v1/operations/99", "", nil, 404},
		"no_such_route":      {"owner", "GET", "/api/v1/nothing", "", nil, 404},
		"wrong_method":       {"owner", "DELETE", "/api/v1/operations/12", "", nil, 405},
		"capability":         {"reader", "POST", "/api/v1/operations/11:cancel", "{}", nil, 403},
		"unknown_field":      {"owner", "POST", "/api/v1/operations/11:cancel", `{"why":"x"}`, nil, 400},
		"wrong_kind":         {"owner", "POST", "/api/v1/operations/11:cancel", `{"reason":{}}`, nil, 400},
		"not_json":           {"owner", "POST", "/api/v1/operations/11:cancel", `{"reason":`, nil, 400},
		"two_values":         {"owner", "POST", "/api/v1/operations/11:cancel", `{} {}`, nil, 400},
		"twice":              {"owner", "POST", "/api/v1/operations/11:cancel", `{"reason":"a","reason":"b"}`, nil, 400},
		"list_as_body":       {"owner", "POST", "/api/v1/operations/11:cancel", `[]`, nil, 400},
		"nul":                {"owner", "POST", "/api/v1/operations/11:cancel", `{"reason":"a\u0000b"}`, nil, 400},
		"not_utf8":           {"owner", "POST", "/api/v1/operations/11:cancel", "{\"reason\":\"\xff\"}", nil, 400},
		"lone_surrogate":     {"owner", "POST", "/api/v1/operations/11:cancel", `{"reason":"\ud800"}`, nil, 400},
		"deep":               {"owner", "POST", "/api/v1/workspaces/1/tenants/5/inventory:sync", deep, nil, 400},
		"too_long":           {"owner", "POST", "/api/v1/operations/11:cancel", `{"reason":"` + strings.Repeat("x", 501) + `"}`, nil, 400},
		"too_large":          {"owner", "POST", "/api/v1/operations/11:cancel", `{"reason":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413},
		"query_kind":         {"owner", "GET", "/api/v1/workspaces/1/operations?page_size=many", "", nil, 400},
		"query_utf8":         {"owner", "GET", "/api/v1/workspaces/1/operations?filter=%ff", "", nil, 400},
		"query_escape":       {"owner", "GET", "/api/v1/workspaces/1/operations?filter=%zz", "", nil, 400},
		"query_enum":         {"owner", "GET", "/api/v1/workspaces/1/operations?view=EVERYTHING", "", nil, 400},
		"query_twice":        {"owner", "GET", "/api/v1/workspaces/1/operations?page_size=1&page_size=2", "", nil, 400},
		"page_token":         {"owner", "GET", "/api/v1/workspaces/1/operations?page_token=bad", "", nil, 400},
		"exists":             {"owner", "POST", "/api/v1/workspaces/1/tenants", `{"display_name":"A","directory_id":"7e1a3a52-6a5e-4b3f-9d1c-0a1b2c3d4e5f"}`, nil, 409},
		"idempotency_long":   {"owner", "POST", "/api/v1/workspaces/1/tenants/5/inventory:sync", "{}", []string{"Idempotency-Key", strings.Repeat("k", 129)}, 400},
		"idempotency_differ": {"owner", "POST", "/api/v1/workspaces/1/tenants/5/inventory:sync", `{"request_id":"a"}`, []string{"Idempotency-Key", "b"}, 400},
		"our_fault":          {"owner", "GET", "/api/v1/policyTypes", "", nil, 500},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, body := webtest.Ask(t, srv, c.token, c.method, c.path, c.body, c.headers...)
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			webtest.Golden(t, "problem_"+name+".json", body)
		})
	}
}

// TestNotFoundIsOneAnswer compares status, headers and bytes for ids that are
// malformed, missing and foreign.
func TestNotFoundIsOneAnswer(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	runs := []string{"99", "22", "0", "-1", "abc", "1e3", "0x16", "007", "+22", "99999999999999999999", "%20", "12%00", "%ff", "12:nothing"}
	workspaces := []string{"2", "99", "abc", "0", "-1", "99999999999999999999"}
	tests := map[string]struct {
		method, format string
		ids            []string
	}{
		"run":             {"GET", "/api/v1/operations/%s", runs},
		"events":          {"GET", "/api/v1/operations/%s/events", runs[:10]},
		"cancel":          {"POST", "/api/v1/operations/%s:cancel", runs[:10]},
		"workspace":       {"GET", "/api/v1/workspaces/%s", workspaces},
		"runs":            {"GET", "/api/v1/workspaces/%s/operations", workspaces},
		"tenant":          {"GET", "/api/v1/workspaces/%s/tenants/5", workspaces},
		"tenant of ours":  {"GET", "/api/v1/workspaces/1/tenants/%s", []string{"6", "abc", "0", "-5"}},
		"sync":            {"POST", "/api/v1/workspaces/%s/tenants/5/inventory:sync", workspaces},
		"sync of ours":    {"POST", "/api/v1/workspaces/1/tenants/%s/inventory:sync", []string{"6", "abc", "0"}},
		"sync, bad body":  {"POST", "/api/v1/workspaces/%s/tenants/5/inventory:sync?x={", workspaces},
		"page of runs":    {"GET", "/api/v1/workspaces/%s/operations?page_token=bad", workspaces},
		"create a tenant": {"POST", "/api/v1/workspaces/%s/tenants", workspaces},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first string
			for _, id := range c.ids {
				body := ""
				if c.method == "POST" {
					body = "{}"
				}
				resp, got := webtest.Ask(t, srv, "owner", c.method, fmt.Sprintf(c.format, id), body)
				resp.Header.Del("Date")
				whole := fmt.Sprintln(resp.StatusCode, resp.Header, got)
				if first == "" {
					first = whole
				}
				if resp.StatusCode != 404 || whole != first {
					t.Errorf("%s: %s\nfirst was: %s", id, whole, first)
				}
			}
		})
	}
}

func TestSpoofedHeadersStayOutside(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	resp, body := webtest.Ask(t, srv, "nobody", "GET", "/api/v1/operations/12", "",
		"Grpc-Metadata-X-Tenantpilot-Actor", "forged", "X-Tenantpilot-Actor", "forged", "X-User-Id", "7", "Grpc-Timeout", "1n")
	if resp.StatusCode != 404 {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}

func TestIdempotencyKeyBecomesTheRequestID(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	const minted = "*"
	tests := map[string]struct{ body, key, want string }{
		"header":      {`{}`, "k-1", "k-1"},
		"empty body":  {``, "k-2", "k-2"},
		"body":        {`{"request_id":"b-1"}`, "", "b-1"},
		"both agree":  {`{"request_id":"k-3"}`, "k-3", "k-3"},
		"neither":     {`{}`, "", minted},
		"with spaces": {`{}`, "a key", "a key"},
	}
	for name, c := range tests {
		resp, body := webtest.Ask(t, srv, "owner", "POST", "/api/v1/workspaces/1/tenants/5/inventory:sync", c.body, "Idempotency-Key", c.key)
		asked, ok := w.Last().(*inventoryv1.StartSyncRequest)
		got := asked.GetRequestId()
		if c.want == minted && len(got) >= 20 { // long enough that no two are the same
			got = minted
		}
		if resp.StatusCode != 200 || !ok || got != c.want {
			t.Errorf("%s: %d %s, asked %v", name, resp.StatusCode, body, w.Last())
		}
	}
	resp, _ := webtest.Ask(t, srv, "owner", "POST", "/api/v1/operations/11:cancel", `{"reason":"wrong tenant"}`, "Idempotency-Key", "k-4")
	if asked, ok := w.Last().(*operationsv1.CancelRunRequest); resp.StatusCode != 200 || !ok || asked.GetReason() != "wrong tenant" {
		t.Errorf("a call without request_id: %d, asked %v", resp.StatusCode, w.Last())
	}
}

// A token is shown once, so a repeated call could not return the same one. Such a call
// is refused.
func TestIdempotencyKeyThatCannotBeKept(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	resp, body := webtest.Ask(t, srv, "owner", "POST", "/api/v1/workspaces/1/apiTokens", `{"display_name":"ci"}`, "Idempotency-Key", "k-1")
	if resp.StatusCode != 400 || !strings.Contains(body, `"Idempotency-Key"`) || !strings.Contains(body, "shown once") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if w.Calls() > 0 {
		t.Errorf("the service was asked %v", w.Last())
	}
}

func TestTokensAreRememberedForAWhile(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	for range 3 {
		webtest.Ask(t, srv, "owner", "GET", "/api/v1/operations/12", "")
	}
	if w.Resolved() != 1 {
		t.Errorf("resolved %d times", w.Resolved())
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t, func(c *web.Config) { c.Rate, c.Burst = 0.001, 3 })
	codes := func(token string) (got []int) {
		for range 4 {
			resp, _ := webtest.Ask(t, srv, token, "GET", "/api/v1/operations/12", "")
			got = append(got, resp.StatusCode)
		}
		return got
	}
	if got := fmt.Sprint(codes("owner")); got != "[200 200 200 429]" {
		t.Errorf("owner: %s", got)
	}
	if got := fmt.Sprint(codes("reader")); got != "[200 200 200 429]" {
		t.Errorf("reader, after owner is at the limit: %s", got)
	}
	resp, _ := webtest.Ask(t, srv, "owner", "GET", "/api/v1/operations/12", "")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	if got := fmt.Sprint(codes("guess")); got != "[401 401 401 429]" {
		t.Errorf("guessing: %s", got)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	srv, _ := setup(t)
	tests := map[string]struct {
		given string
		kept  bool
	}{
		"ours to keep": {"abc-123", true},
		"none":         {"", false},
		"too long":     {strings.Repeat("x", 129), false},
		"odd":          {`a"b`, false},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, _ := webtest.Ask(t, srv, "owner", "GET", "/api/v1/operations/12", "", "X-Request-Id", c.given)
			got := resp.Header.Get("X-Request-Id")
			if got == "" || (got == c.given) != c.kept {
				t.Errorf("answered %q", got)
			}
		})
	}
}
