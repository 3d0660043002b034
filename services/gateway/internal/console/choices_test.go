package console

import (
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

// A workspace may have hundreds of tenants, and each can be chosen as a filter and
// synced. If there are too many to list, people type its id.
func TestManyTenants(t *testing.T) {
	t.Parallel()
	const last = `<option value="1450">Customer 450</option>`
	tests := map[string]struct {
		customers int
		path      string
		status    int
		has       []string
		hasNot    string
	}{
		"offered":        {451, "/operations", 200, []string{last, `<select name="tenant" required>`}, "<datalist"},
		"chosen":         {451, "/operations?tenant=1450", 200, []string{`<option value="1450" selected>`}, "<datalist"},
		"no such choice": {451, "/operations?tenant=77", 400, []string{"not one of the choices"}, "<datalist"},
		"too many":       {2500, "/operations", 200, []string{last, `list="filter-tenant"`, `list="sync-tenant"`}, "Customer 2499"},
		"typed":          {2500, "/operations?tenant=3499", 200, []string{`value="3499"`, "Clear all"}, "not one of the choices"},
		"typed nonsense": {2500, "/operations?tenant=%22x", 400, []string{"not one of the choices"}, "<datalist"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, w := setup(t)
			w.Customers = c.customers
			resp, body := webtest.Browse(t, srv, webtest.SignIn(t, srv, "owner"), c.path)
			if resp.StatusCode != c.status || strings.Contains(body, c.hasNot) {
				t.Errorf("%d, without %q: %t", resp.StatusCode, c.hasNot, !strings.Contains(body, c.hasNot))
			}
			for _, want := range c.has {
				if !strings.Contains(body, want) {
					t.Errorf("no %q", want)
				}
			}
		})
	}
}

// Every event of a run can be reached, page by page.
func TestLongTimeline(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	w.Restarts = 1500
	c := webtest.SignIn(t, srv, "owner")
	_, body := webtest.Browse(t, srv, c, "/operations/12")
	if strings.Contains(body, "Attempt 1002 begun") || !strings.Contains(body, "Attempt 1000 begun") || strings.Contains(body, "First events") {
		t.Error("the first page is not the first thousand events")
	}
	later := webtest.Between(body, `href="/operations/12?events=`, `"`)
	if later == "" {
		t.Fatal("no way to the later events")
	}
	_, body = webtest.Browse(t, srv, c, "/operations/12?events="+later)
	if !strings.Contains(body, "Attempt 1503 begun") || strings.Contains(body, "Later events") || !strings.Contains(body, "First events") {
		t.Error("the second page is not the rest")
	}
}
