package graphsim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

type batchReply struct {
	ID      string
	Status  int
	Headers map[string]string
	Body    json.RawMessage
}

// batch posts members (JSON texts) and returns the replies in their order.
func (w *world) batch(members ...string) []batchReply {
	w.t.Helper()
	r := w.do(http.MethodPost, "/beta/$batch", `{"requests":[`+strings.Join(members, ",")+`]}`)
	if r.status != http.StatusOK {
		w.t.Fatalf("batch: %d %s", r.status, r.body)
	}
	var out struct{ Responses []batchReply }
	if err := json.Unmarshal(r.body, &out); err != nil {
		w.t.Fatal(err)
	}
	return out.Responses
}

func byID(rs []batchReply) map[string]batchReply {
	out := map[string]batchReply{}
	for _, r := range rs {
		out[r.ID] = r
	}
	return out
}

func TestBatchAnswersEveryMemberInAnyOrder(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true, Tenants: []graphsim.TenantConfig{{Size: 80, Seed: 1}}})
	var asked []string
	var members []string
	for i, id := range w.Tenant(tenantID).IDs("configurationPolicies")[:20] {
		asked = append(asked, fmt.Sprint(i))
		members = append(members, fmt.Sprintf(`{"id":"%d","method":"GET","url":"/deviceManagement/configurationPolicies/%s/settings"}`, i, id))
	}
	shuffled := false
	for range 3 {
		var got []string
		for _, r := range w.batch(members...) {
			got = append(got, r.ID)
			single := w.get(policies + "/" + w.Tenant(tenantID).IDs("configurationPolicies")[slices.Index(asked, r.ID)] + "/settings")
			if r.Status != 200 || string(r.Body) != string(single.body) {
				t.Fatalf("member %s: %d, not the single call's bytes", r.ID, r.Status)
			}
		}
		shuffled = shuffled || !slices.Equal(got, asked)
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(asked)); !slices.Equal(got, want) {
			t.Errorf("answered %v", got)
		}
	}
	if !shuffled {
		t.Error("three batches came back in the order asked")
	}
}

func TestBatchMembersFailAlone(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	got := byID(w.batch(
		`{"id":"list","method":"GET","url":"/groups?$top=2"}`,
		`{"id":"missing","method":"GET","url":"/groups/nobody"}`,
		`{"id":"after","method":"GET","url":"/groups","dependsOn":["missing"]}`,
		`{"id":"later","method":"GET","url":"/groups","dependsOn":["after"]}`,
		`{"id":"nest","method":"POST","url":"/$batch"}`,
		`{"id":"body","method":"PATCH","url":"/groups/x","body":{}}`,
	))
	for id, want := range map[string]int{"list": 200, "missing": 404, "after": 424, "later": 424, "nest": 400, "body": 400} {
		if got[id].Status != want {
			t.Errorf("%s: %d, want %d: %s", id, got[id].Status, want, got[id].Body)
		}
	}
	next := page{}
	if err := json.Unmarshal(got["list"].Body, &next); err != nil || !strings.HasPrefix(next.Next, w.url+"/beta/groups?") {
		t.Errorf("a member's nextLink: %q, %v", next.Next, err)
	}
	w.get(next.Next)
}

func TestMalformedBatches(t *testing.T) {
	t.Parallel()
	w := setup(t, graphsim.Config{NoQuotas: true})
	member := func(id string) string { return `{"id":"` + id + `","method":"GET","url":"/groups"}` }
	many := make([]string, 21)
	for i := range many {
		many[i] = member(fmt.Sprint(i))
	}
	for name, body := range map[string]string{
		"not JSON":          `{"requests":[`,
		"none":              `{"requests":[]}`,
		"21":                `{"requests":[` + strings.Join(many, ",") + `]}`,
		"id twice":          `{"requests":[` + member("1") + `,` + member("1") + `]}`,
		"no id":             `{"requests":[{"method":"GET","url":"/groups"}]}`,
		"no url":            `{"requests":[{"id":"1","method":"GET"}]}`,
		"absolute":          `{"requests":[{"id":"1","method":"GET","url":"https://graph.microsoft.com/beta/groups"}]}`,
		"unknown dependsOn": `{"requests":[{"id":"1","method":"GET","url":"/groups","dependsOn":["2"]}]}`,
	} {
		r := w.do(http.MethodPost, "/beta/$batch", body)
		if code, _ := r.graphError(); r.status != http.StatusBadRequest || code != "BadRequest" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestBatchMembersAreThrottledOneByOne(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := setup(t, graphsim.Config{Now: c.now})
	throttled := 0
	for _, r := range w.batch(
		`{"id":"1","method":"GET","url":"/identity/conditionalAccess/policies"}`,
		`{"id":"2","method":"GET","url":"/identity/conditionalAccess/policies"}`,
		`{"id":"3","method":"GET","url":"/deviceManagement/configurationPolicies?$top=1"}`,
	) {
		if r.Status == http.StatusTooManyRequests {
			throttled++
			if r.Headers["Retry-After"] != "" {
				t.Errorf("Conditional Access says Retry-After: %s", r.Headers["Retry-After"])
			}
		}
	}
	if throttled != 1 || w.Stats().Throttled != 1 {
		t.Errorf("%d members throttled, %d counted", throttled, w.Stats().Throttled)
	}
}
