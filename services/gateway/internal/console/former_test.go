package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

// Former addresses redirect to those of today, or there is no page, for everyone. No
// service is asked who the caller is or whether there is such a run.
func TestFormerAddresses(t *testing.T) {
	t.Parallel()
	srv, w := setup(t)
	askers := map[string]*http.Cookie{"stranger": nil, "member": webtest.SignIn(t, srv, "owner"), "member of nothing": webtest.SignIn(t, srv, "nobody")}
	before := w.Resolved() + w.Calls()
	const gone = "-sync-runs"
	tests := map[string]string{ // by path, where it redirects to; "" for 404
		"/admin/operations":                         "/operations",
		"/admin/operations?status=failed":           "/operations",
		"/admin/operations/42":                      "/operations/42",
		"/admin/operations/99999999999":             "/operations/99999999999",
		"/admin/operations/9223372036854775807":     "/operations/9223372036854775807",
		"/admin/operations/9223372036854775808":     "",
		"/admin/operations/12345678901234567890":    "",
		"/admin/operations/0":                       "",
		"/admin/operations/042":                     "",
		"/admin/operations/x":                       "",
		"/admin/operations/-1":                      "",
		"/admin/operations/%2e%2e":                  "",
		"/admin/operations/4/2":                     "",
		"/admin/operations/":                        "",
		"/admin/t/contoso/inventory" + gone:         "",
		"/admin/t/contoso/inventory" + gone + "/7":  "",
		"/admin/t/contoso/inventory" + gone + "/x/": "",
		"/admin/entra-group" + gone:                 "",
		"/admin/entra-group" + gone + "/7":          "",
		"/admin/entra-group" + gone + "/7?a=b":      "",
		"/admin":                                    "",
	}
	for path, to := range tests {
		for who, cookie := range askers {
			resp, body := webtest.Browse(t, srv, cookie, path)
			want := http.StatusPermanentRedirect
			if to == "" {
				want = http.StatusNotFound
			}
			if resp.StatusCode != want || resp.Header.Get("Location") != to || to == "" && !strings.Contains(body, "There is no page at this address.") {
				t.Errorf("%s, %s: %d to %q", path, who, resp.StatusCode, resp.Header.Get("Location"))
			}
		}
	}
	if w.Resolved()+w.Calls() != before {
		t.Error("a former address asked a service")
	}
}

// If runs were moved to higher ids, their former addresses redirect there.
func TestFormerAddressesWithAnOffset(t *testing.T) {
	t.Parallel()
	srv, w := setup(t, func(c *Config) { c.FormerOffset = 1_000_000 })
	for path, to := range map[string]string{
		"/admin/operations":                     "/operations",
		"/admin/operations/42":                  "/operations/1000042",
		"/admin/operations/9223372036853775807": "/operations/9223372036854775807",
		"/admin/operations/9223372036853775808": "", // the id would be too high
		"/admin/operations/9223372036854775807": "",
	} {
		if resp, _ := webtest.Browse(t, srv, nil, path); resp.Header.Get("Location") != to || (to == "") != (resp.StatusCode == http.StatusNotFound) {
			t.Errorf("%s: %d to %q", path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	if w.Resolved()+w.Calls() > 0 {
		t.Error("a former address asked a service")
	}
}
