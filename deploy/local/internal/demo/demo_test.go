package demo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gateway replies as the API does: int64 in quotes, names as in the protos.
func gateway(t *testing.T) Client {
	t.Helper()
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/workspaces", answer(`{"workspaces":[{"id":"3","display_name":"Other"},{"id":"4","display_name":"Demo"}]}`))
	mux.HandleFunc("GET /api/v1/workspaces/4/tenants", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page_token") == "" {
			answer(`{"tenants":[{"id":"7","directory_id":"d7"}],"next_page_token":"more"}`)(w, r)
			return
		}
		answer(`{"tenants":[{"id":"8","directory_id":"d8"}]}`)(w, r)
	})
	mux.HandleFunc("POST /api/v1/workspaces/4/tenants/8/inventory:sync", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "" {
			http.Error(w, "no key", http.StatusBadRequest)
			return
		}
		answer(`{"run":{"id":"9007199254740993","type":"inventory_sync","status":"RUN_STATUS_QUEUED"},"started":true}`)(w, r)
	})
	mux.HandleFunc("GET /api/v1/operations/9007199254740993", func(w http.ResponseWriter, r *http.Request) {
		asked++
		status := `"RUN_STATUS_RUNNING","outcome":"RUN_OUTCOME_PENDING","summary_counts":{"processed":"5","total":"20"}`
		if asked > 1 {
			status = `"RUN_STATUS_COMPLETED","outcome":"RUN_OUTCOME_SUCCEEDED","summary_counts":{"processed":"20","total":"20"}`
		}
		answer(`{"run":{"id":"9007199254740993","status":`+status+`}}`)(w, r)
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			answer(`{"title":"Unauthenticated","detail":"the token is not known"}`)(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return Client{Base: server.URL, Token: "secret"}
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func TestASyncIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	c := gateway(t)
	workspace, tenant, err := c.Scope(t.Context(), "Demo", "d8")
	if err != nil || workspace != 4 || tenant != 8 {
		t.Fatalf("Scope: %d, %d, %v, want 4, 8", workspace, tenant, err)
	}
	run, err := c.StartSync(t.Context(), workspace, tenant)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	run, err = Follow(t.Context(), c, run, out)
	if err != nil || !run.Succeeded() || run.ID != 9007199254740993 {
		t.Fatalf("Follow: %+v, %v", run, err)
	}
	shown, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if want := "20 of 20"; !strings.Contains(string(shown), want) || strings.Contains(string(shown), "\r") {
		t.Errorf("shown in a file: %q, want lines ending with %q", shown, want)
	}
}

// Services restart, and the run goes on meanwhile.
func TestAnOutageIsSatOut(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		statuses []int // of the replies before the one that has the run; 0 cuts the connection
		patience time.Duration
		want     string // of the error
	}{
		"short":     {statuses: []int{503, 0, 500, 504}, patience: time.Minute},
		"too long":  {statuses: []int{503, 503}, patience: time.Nanosecond, want: "503"},
		"a refusal": {statuses: []int{404}, patience: time.Minute, want: "404"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := tt.statuses
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if len(left) == 0 {
					answer(`{"run":{"id":"1","status":"RUN_STATUS_COMPLETED","outcome":"RUN_OUTCOME_SUCCEEDED"}}`)(w, r)
					return
				}
				status := left[0]
				left = left[1:]
				if status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(status)
			}))
			t.Cleanup(server.Close)
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			run, err := follow(t.Context(), Client{Base: server.URL}, Run{ID: 1}, out, tt.patience)
			if tt.want == "" && (err != nil || !run.Succeeded()) {
				t.Errorf("got %+v, %v", run, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestAProblemIsTold(t *testing.T) {
	t.Parallel()
	c := gateway(t)
	c.Token = "wrong"
	_, err := c.GetRun(t.Context(), 9007199254740993)
	if err == nil || !strings.Contains(err.Error(), "401 Unauthorized: Unauthenticated the token is not known") {
		t.Errorf("GetRun: %v, want what the answer says", err)
	}
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("GetRun: %v shows the token", err)
	}
}

func TestScopeNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	c := gateway(t)
	if _, _, err := c.Scope(t.Context(), "Nowhere", "d8"); err == nil || !strings.Contains(err.Error(), "Nowhere") {
		t.Errorf("Scope: %v, want the workspace's name", err)
	}
	if _, _, err := c.Scope(t.Context(), "Demo", "d9"); err == nil || !strings.Contains(err.Error(), "d9") {
		t.Errorf("Scope: %v, want the directory's id", err)
	}
}

func TestReportTellsEverythingThatWentWrong(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	run := Run{
		ID: 12, Type: "inventory_sync", Status: "RUN_STATUS_COMPLETED", Outcome: "RUN_OUTCOME_PARTIALLY_SUCCEEDED",
		SummaryCounts: map[string]count{"total": 60, "created": 58}, CreateTime: began, CompleteTime: began.Add(2340 * time.Millisecond),
		FailureSummary: []Failure{{Reason: "FAILURE_REASON_PERMISSION", Item: "mobileApps", Message: "Graph refused", Remediation: "Grant the permission."}},
	}
	var out strings.Builder
	Report(&out, run, []Coverage{
		{Type: "configurationPolicies", Complete: true, Listed: 58, Read: 58, Created: 58},
		{Type: "mobileApps", Failed: 1, Message: "403 Forbidden"},
	})
	for _, want := range []string{
		"Run 12 (inventory_sync): partially succeeded in 2.34s", "created 58 · total 60",
		"mobileApps: 403 Forbidden", "permission mobileApps: Graph refused", "→ Grant the permission.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if lines := strings.Split(out.String(), "\n"); !strings.HasSuffix(strings.TrimSpace(lines[6]), "NO") {
		t.Errorf("an incomplete type is not marked: %q", lines[6])
	}
}

func TestCountsComeQuotedOrNot(t *testing.T) {
	t.Parallel()
	var r Run
	err := json.Unmarshal([]byte(`{"id":"1","summary_counts":{"a":"9007199254740993","b":2}}`), &r)
	if err != nil || r.SummaryCounts["a"] != 9007199254740993 || r.SummaryCounts["b"] != 2 {
		t.Errorf("got %v, %v", r.SummaryCounts, err)
	}
}

func TestLoadReportNamesWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(answer(`{"loaded":[{"path":"a.json"},{"path":"b.json","notes":["a made id"]}],
		"rejected":[{"path":"README.md","reason":"not JSON"}],"totals":{"mobileApps":1,"assignmentFilters":1}}`))
	defer server.Close()
	var out strings.Builder
	if err := LoadReport(t.Context(), server.Client(), server.URL, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"loaded 2 objects: assignmentFilters 1 · mobileApps 1", "1 of them", "left out 1:\n  README.md: not JSON"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}
