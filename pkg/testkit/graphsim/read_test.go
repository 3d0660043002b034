package graphsim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

const policies = "/beta/deviceManagement/configurationPolicies"

func TestEveryKindIsListedInWhole(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true, PageSizes: map[string]int{"configurationPolicies": 7}})
	for _, typ := range types() {
		kind := typ.Name
		ids := w.Tenant(tenantID).IDs(kind)
		els, pages := w.all("/beta" + typ.Path)
		if len(ids) == 0 || len(els) != len(ids) {
			t.Errorf("%s: listed %d of %d", kind, len(els), len(ids))
		}
		if want := (len(ids) + 6) / 7; kind == "configurationPolicies" && pages != want {
			t.Errorf("%s: %d pages, want %d", kind, pages, want)
		}
		for i, e := range els {
			if got := object(t, e)["id"]; got != ids[i] {
				t.Errorf("%s %d: id %v, want %s", kind, i, got, ids[i])
			}
		}
	}
}

func TestSettingsComeInPagesOf25(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	for _, id := range w.Tenant(tenantID).IDs("configurationPolicies") {
		count := int(w.get(policies + "/" + id).object()["settingCount"].(float64))
		els, pages := w.all(policies + "/" + id + "/settings")
		if len(els) != count || pages != max(1, (count+24)/25) {
			t.Errorf("%s: %d settings on %d pages, settingCount %d", id, len(els), pages, count)
		}
		for i, e := range els {
			if got := object(t, e)["id"]; got != fmt.Sprint(i) {
				t.Errorf("%s: setting %d has id %v", id, i, got)
			}
		}
	}
}

func TestItemIsTheListedBytesUnderAContext(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	for _, raw := range w.get(policies).page().Value {
		id := object(t, raw)["id"].(string)
		for _, path := range []string{"/" + id, "('" + id + "')"} {
			item := w.get(policies + path).body
			if !bytes.HasSuffix(item, raw[1:]) || !bytes.HasPrefix(item, []byte(`{"@odata.context":"https://graph.microsoft.com/beta/$metadata#deviceManagement/configurationPolicies/$entity",`)) {
				t.Fatalf("item %.300s\nis not element %.300s", item, raw)
			}
		}
	}
}

func TestTopIsClampedAndKeptAcrossPages(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	n := len(w.Tenant(tenantID).IDs("configurationPolicies"))
	for top, want := range map[int]int{1: n, 9: (n + 8) / 9, 5000: 1} {
		els, pages := w.all(fmt.Sprintf("%s?$top=%d&$select=id", policies, top))
		if len(els) != n || pages != want {
			t.Errorf("$top=%d: %d elements on %d pages, want %d on %d", top, len(els), pages, n, want)
		}
		if len(els) > 0 && len(object(t, els[len(els)-1])) != 1 {
			t.Errorf("$top=%d: $select was lost on the way: %s", top, els[len(els)-1])
		}
	}
}

func TestListLeavesOutWhatGraphLeavesOut(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	tests := map[string]struct {
		path   string
		hidden string
		item   bool // an item shows it unasked
		expand string
	}{
		"scripts":       {"deviceManagement/deviceManagementScripts", "scriptContent", true, ""},
		"detection":     {"deviceManagement/deviceHealthScripts", "detectionScriptContent", true, ""},
		"remediation":   {"deviceManagement/deviceHealthScripts", "remediationScriptContent", true, ""},
		"settings":      {"deviceManagement/configurationPolicies", "settings", false, "settings"},
		"actions":       {"deviceManagement/deviceCompliancePolicies", "scheduledActionsForRule", false, "scheduledActionsForRule($expand=scheduledActionConfigurations;$select=id)"},
		"definitions":   {"deviceManagement/groupPolicyConfigurations", "definitionValues", false, "definitionValues"},
		"assignments":   {"deviceAppManagement/mobileApps", "assignments", false, "categories,assignments"},
		"categories":    {"deviceAppManagement/mobileApps", "categories", false, "categories,assignments"},
		"configuration": {"deviceManagement/deviceConfigurations", "assignments", false, "assignments"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listed := object(t, w.get("/beta/" + tt.path).page().Value[0])
			if _, ok := listed[tt.hidden]; ok {
				t.Errorf("the list shows %s", tt.hidden)
			}
			item := "/beta/" + tt.path + "/" + listed["id"].(string)
			if _, ok := w.get(item).object()[tt.hidden]; ok != tt.item {
				t.Errorf("the item shows %s: %t, want %t", tt.hidden, ok, tt.item)
			}
			if tt.expand != "" {
				if _, ok := w.get(item + "?$expand=" + tt.expand).object()[tt.hidden]; !ok {
					t.Errorf("$expand=%s does not show %s", tt.expand, tt.hidden)
				}
			}
		})
	}
}

func TestNestedExpand(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	list := "/beta/deviceManagement/deviceCompliancePolicies?$expand=scheduledActionsForRule"
	for query, want := range map[string]bool{list: false, list + "($expand=scheduledActionConfigurations)": true} {
		body := w.get(query).body
		if got := bytes.Contains(body, []byte(`"scheduledActionConfigurations":[`)); got != want {
			t.Errorf("%s shows the actions: %t", query, got)
		}
	}
	id := w.Tenant(tenantID).IDs("groupPolicyConfigurations")[0]
	values := "/beta/deviceManagement/groupPolicyConfigurations/" + id + "/definitionValues"
	presentations := 0
	for _, v := range first(w.all(values + "?$expand=definition")) {
		dv := object(t, v)
		if dv["definition"] == nil || dv["presentationValues"] != nil {
			t.Errorf("definition value %.200s", v)
		}
		for _, p := range first(w.all(values + "/" + dv["id"].(string) + "/presentationValues?$expand=presentation")) {
			presentations++
			if object(t, p)["presentation"] == nil {
				t.Errorf("presentation value %.200s", p)
			}
		}
	}
	if presentations == 0 {
		t.Error("no presentation values at all")
	}
}

func first(els []json.RawMessage, _ int) []json.RawMessage { return els }

func TestV1KnowsLittleOfIntune(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	for path, want := range map[string]int{
		"deviceManagement/deviceConfigurations": 200, "identity/conditionalAccess/policies": 200, "groups": 200,
		"deviceManagement/configurationPolicies": 400, "deviceManagement/roleScopeTags": 400, "deviceManagement/deviceHealthScripts": 400,
	} {
		r := w.do(http.MethodGet, "/v1.0/"+path, "")
		if r.status != want {
			t.Errorf("/v1.0/%s: %d, want %d", path, r.status, want)
		}
		if want == 400 {
			if _, m := r.graphError(); !strings.Contains(m, "Resource not found for the segment '"+path[strings.Index(path, "/")+1:]) {
				t.Errorf("/v1.0/%s: %s", path, m)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	tests := map[string]struct {
		method, path string
		status       int
		code         string
	}{
		"unknown segment":  {"GET", "/beta/deviceManagement/nonsense", 400, "BadRequest"},
		"unknown version":  {"GET", "/v2.0/groups", 400, "BadRequest"},
		"missing policy":   {"GET", policies + "/00000000-0000-4000-8000-000000000000", 404, "ResourceNotFound"},
		"missing group":    {"GET", "/beta/groups/nobody", 404, "Request_ResourceNotFound"},
		"forged token":     {"GET", policies + "?$skiptoken=AAAAAAAAAAAAAAAA", 400, "BadRequest"},
		"unknown property": {"GET", policies + "?$expand=nonsense", 400, "BadRequest"},
		"unbalanced":       {"GET", policies + "?$expand=settings(", 400, "BadRequest"},
		"bad top":          {"GET", policies + "?$top=0", 400, "BadRequest"},
		"filter":           {"GET", policies + "?$filter=name%20eq%20'x'", 400, "BadRequest"},
		"write":            {"DELETE", policies, 405, "Request_BadRequest"},
	}
	for name, tt := range tests {
		r := w.do(tt.method, tt.path, "")
		code, _ := r.graphError()
		if r.status != tt.status || code != tt.code {
			t.Errorf("%s: %d %s, want %d %s", name, r.status, code, tt.status, tt.code)
		}
	}
}

func TestIntuneErrorsAreJSONInsideAString(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	r := w.do(http.MethodGet, policies+"/missing", "")
	_, message := r.graphError()
	inner := object(t, []byte(message))
	if inner["_version"] != 3.0 || !strings.Contains(inner["Message"].(string), "Activity ID: "+r.header.Get("request-id")) {
		t.Errorf("message %s", message)
	}
}

func TestClientRequestIDIsEchoed(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+policies, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("client-request-id", "mine")
	got := w.reply(w.http.Do(r))
	if got.header.Get("client-request-id") != "mine" || got.header.Get("request-id") == "" {
		t.Errorf("headers %v", got.header)
	}
}
