package console

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

// An imported run has a page like any other, which says where it came from.
func TestPageOfAnImportedRun(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	w.Runs[14] = webtest.ImportedRun(t, 14, map[string]any{
		"inputs": map[string]any{"backup_schedule_id": 17, "scheduled_for": "2024-05-01T02:00:00+00:00"}, "backup_set_id": 230, "trigger": "scheduled",
		"legacy": map[string]any{"source": "old_<b>runs", "id": 4711, "status": "partial", "notes": []any{"completed_at_from_updated_at", "tenant_missing"}},
	})
	w.Runs[15] = webtest.ImportedRun(t, 15, map[string]any{"restore_run_id": "rr-9", "legacy": "spoiled"})
	owner, both := webtest.SignIn(t, srv, "owner"), webtest.SignIn(t, srv, "both")
	tests := map[string]struct {
		who    *http.Cookie
		path   string
		has    []string
		hasNot []string
	}{
		"whole": {owner, "/operations/14", []string{
			"imported from an older TenantPilot", "old_&lt;b&gt;runs</bdi> #<bdi>4711", "<bdi>partial</bdi>", "completed at from updated at", "tenant missing",
			`href="/operations?schedule=17"`, `href="/operations?backup_set=230"`, `href="/operations?tenant=5"`, "Partly succeeded", "<span>12 in all</span>",
		}, []string{"Cancel run", "attempt 0", "<dt>Attempt", "Coverage", "0 of 12"}},
		"of several workspaces": {both, "/operations/14", []string{`href="/operations?schedule=17&amp;workspace=1"`}, nil},
		"spoiled":               {owner, "/operations/15", []string{"imported from", "#rr-9"}, []string{"restore=", "Its status there"}},
		"live":                  {owner, "/operations/12", []string{"attempt 1 of 3", `href="/operations?tenant=5"`}, []string{"mported", "Schedule"}},
	}
	for name, c := range tests {
		resp, body := webtest.Browse(t, srv, c.who, c.path)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
		for _, want := range c.has {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q in\n%s", name, want, body)
			}
		}
		for _, bad := range c.hasNot {
			if strings.Contains(body, bad) {
				t.Errorf("%s: %q is in\n%s", name, bad, body)
			}
		}
	}
}

// The page links to another run that this run names, unless retention has removed it.
func TestPageOfARunWhoseOriginalWasRemoved(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	r := webtest.EndedRun(16, 1)
	r.RetryOf, r.ParentRunId, r.RemovedReferences = proto.Int64(7), proto.Int64(12), []string{"retry_of"}
	w.Runs[16] = r
	_, body := webtest.Browse(t, srv, webtest.SignIn(t, srv, "owner"), "/operations/16")
	if !strings.Contains(body, "<bdi>run #7, removed by retention</bdi>") || strings.Contains(body, "/operations/7") {
		t.Errorf("a removed original: %s", body)
	}
	if !strings.Contains(body, `<a href="/operations/12"><bdi>run #12</bdi></a>`) {
		t.Errorf("a parent that is there: %s", body)
	}
}

// The links of a run's page lead to lists of all runs of that schedule, set or restore.
func TestListOfWhatARunIsAbout(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	owner := webtest.SignIn(t, srv, "owner")
	for query, want := range map[string]string{
		"schedule=17":                     `context.backup_schedule_id = "17"`,
		"backup_set=230&status=completed": `status = "completed" AND context.backup_set_id = "230"`,
		"restore=9":                       `context.restore_run_id = "9"`,
	} {
		resp, body := webtest.Browse(t, srv, owner, "/operations?"+query)
		asked, _ := w.Last().(*operationsv1.ListRunsRequest)
		first := strings.Split(query, "&")[0]
		if resp.StatusCode != http.StatusOK || asked.GetFilter() != want || !strings.Contains(body, "Clear all") || !strings.Contains(body, first) {
			t.Errorf("%s: %d, asked for %s", query, resp.StatusCode, asked.GetFilter())
		}
	}
	before := w.Calls()
	if resp, body := webtest.Browse(t, srv, owner, "/operations?schedule=x"); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "Schedule") || w.Calls() != before {
		t.Errorf("a malformed id: %d", resp.StatusCode)
	}
}
