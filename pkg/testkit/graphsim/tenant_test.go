package graphsim_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

func TestOneChangeChangesOneObject(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true, Now: newClock().now})
	tenant := w.Tenant(tenantID)
	before := w.get(policies).page().Value
	id := tenant.IDs("configurationPolicies")[4]
	if err := tenant.Set("configurationPolicies", id, "description", json.RawMessage(`"changed by hand"`)); err != nil {
		t.Fatal(err)
	}
	after := w.get(policies).page().Value
	for i := range after {
		if same := bytes.Equal(before[i], after[i]); same == (i == 4) {
			t.Errorf("object %d: same bytes %t", i, same)
		}
	}
	now := object(t, after[4])
	if now["description"] != "changed by hand" || now["lastModifiedDateTime"] != "2026-05-01T12:00:00Z" || now["id"] != id {
		t.Errorf("changed object %s", after[4])
	}
}

func TestAddRemoveRename(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	tenant := w.Tenant(tenantID)
	id, err := tenant.Add("configurationPolicies", json.RawMessage(`{ "name":"new", "settingCount":1, "settings":[`+settingA+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	if els, _ := w.all(policies + "/" + id + "/settings"); len(els) != 1 || string(els[0]) != settingA {
		t.Errorf("settings %s", els)
	}
	if err := tenant.Rename("configurationPolicies", id, `other "name"`); err != nil {
		t.Fatal(err)
	}
	if got := w.get(policies + "/" + id).str("name"); got != `other "name"` {
		t.Errorf("name %q", got)
	}
	if err := tenant.Remove("configurationPolicies", id); err != nil {
		t.Fatal(err)
	}
	if r := w.do(http.MethodGet, policies+"/"+id, ""); r.status != http.StatusNotFound {
		t.Errorf("removed: %d", r.status)
	}
	if tenant.Remove("configurationPolicies", id) == nil || tenant.Remove("nonsense", id) == nil {
		t.Error("removing what is not there worked")
	}
	if _, err := tenant.Add("groups", json.RawMessage(`[]`)); err == nil {
		t.Error("an array was added")
	}
}

func TestRemovalBetweenPagesSkipsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	tenant := w.Tenant(tenantID)
	ids := tenant.IDs("configurationPolicies")
	p := w.get(policies + "?$top=5").page()
	if err := tenant.Remove("configurationPolicies", ids[0]); err != nil {
		t.Fatal(err)
	}
	rest, _ := w.all(p.Next)
	if len(rest) != len(ids)-5 || object(t, rest[0])["id"] != ids[5] {
		t.Errorf("%d objects behind the first page, want %d", len(rest), len(ids)-5)
	}
}

func TestSettingCountFollowsSettings(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	tenant := w.Tenant(tenantID)
	id := tenant.IDs("configurationPolicies")[1]
	if err := tenant.SetElements("configurationPolicies", id, "settings", []json.RawMessage{json.RawMessage(settingA)}); err != nil {
		t.Fatal(err)
	}
	if n := w.get(policies + "/" + id).object()["settingCount"]; n != 1.0 {
		t.Errorf("settingCount %v", n)
	}
	if els, err := tenant.Elements("configurationPolicies", id, "settings"); err != nil || len(els) != 1 {
		t.Errorf("elements %s, %v", els, err)
	}
}

func TestAdministration(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	id := w.Tenant(tenantID).IDs("configurationPolicies")[0]
	if r := w.do(http.MethodPut, "/_sim/faults", `[{"path":"/beta/groups","kind":"status","status":500}]`); r.status != 200 {
		t.Fatalf("faults: %d %s", r.status, r.body)
	}
	if r := w.do(http.MethodGet, "/beta/groups", ""); r.status != 500 {
		t.Errorf("the script is not in force: %d", r.status)
	}
	w.do(http.MethodDelete, "/_sim/faults", "")
	w.do(http.MethodDelete, "/_sim/stats", "")
	w.get("/beta/groups")
	w.get(policies + "/" + id + "/settings")
	w.get(policies + "('" + id + "')/settings")
	w.batch(`{"id":"1","method":"GET","url":"/groups"}`)
	var s graphsim.Stats
	if err := json.Unmarshal(w.get("/_sim/stats").body, &s); err != nil {
		t.Fatal(err)
	}
	if s.Total != 5 || s.Calls["GET /beta/groups"] != 2 || s.Calls["GET "+policies+"/{id}/settings"] != 2 || s.Calls["POST /beta/$batch"] != 1 || s.Statuses[200] != 5 {
		t.Errorf("stats %+v", s)
	}
	for _, bad := range []string{`{`, `[{"pth":"x","kind":"html"}]`, `[{"path":"*","kind":"explode"}]`} {
		if r := w.do(http.MethodPut, "/_sim/faults", bad); r.status != 400 {
			t.Errorf("script %s: %d", bad, r.status)
		}
	}
}

func TestMutationsOverHTTP(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	mutate := func(body string) reply { return w.do(http.MethodPost, "/_sim/tenants/"+tenantID+"/mutate", body) }
	id := mutate(`{"op":"add","type":"groups","value":{"displayName":"new"}}`).str("id")
	for _, step := range []struct{ body, name string }{
		{`{"op":"rename","type":"groups","id":"` + id + `","value":"other"}`, "other"},
		{`{"op":"set","type":"groups","id":"` + id + `","property":"displayName","value":"third"}`, "third"},
	} {
		mutate(step.body)
		if got := w.get("/beta/groups/" + id).str("displayName"); got != step.name {
			t.Errorf("%s: name %q", step.body, got)
		}
	}
	policy := w.Tenant(tenantID).IDs("configurationPolicies")[0]
	mutate(`{"op":"elements","type":"configurationPolicies","id":"` + policy + `","property":"settings","value":[]}`)
	if els, _ := w.all(policies + "/" + policy + "/settings"); len(els) != 0 {
		t.Errorf("%d settings are left", len(els))
	}
	mutate(`{"op":"remove","type":"groups","id":"` + id + `"}`)
	if r := w.do(http.MethodGet, "/beta/groups/"+id, ""); r.status != 404 {
		t.Errorf("removed: %d", r.status)
	}
	if r := mutate(`{"op":"explode"}`); r.status != 400 || !strings.Contains(string(r.body), "explode") {
		t.Errorf("unknown op: %d %s", r.status, r.body)
	}
}
