package graphsim_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// types are the catalog's and groups, which are no policies.
func types() []catalog.Type {
	return append(catalog.Types(), catalog.Type{Name: "groups", Path: "/groups"})
}

// collections are what an object of the type is read with, beside itself.
func collections(t catalog.Type) (names []string) {
	for _, c := range t.Children {
		names = append(names, c.Name)
	}
	for part := range strings.SplitSeq(t.Expand, ",") {
		if name, _, _ := strings.Cut(part, "("); name != "" && name != "assignments" {
			names = append(names, name)
		}
	}
	if t.Assignments != catalog.NoAssignments {
		names = append(names, "assignments")
	}
	return names
}

// generated is a tenant without a server around it.
func generated(t *testing.T, cfg graphsim.TenantConfig) *graphsim.Tenant {
	t.Helper()
	cfg.ID, cfg.ClientID, cfg.ClientSecret = tenantID, clientID, secret
	s, err := graphsim.New(graphsim.Config{Tenants: []graphsim.TenantConfig{cfg}})
	if err != nil {
		t.Fatal(err)
	}
	return s.Tenant(tenantID)
}

// dump is every byte of a tenant.
func dump(t *testing.T, tenant *graphsim.Tenant) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, typ := range types() {
		for _, id := range tenant.IDs(typ.Name) {
			raw, err := tenant.Object(typ.Name, id)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(raw)
			for _, nav := range collections(typ) {
				els, err := tenant.Elements(typ.Name, id, nav)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range els {
					b.Write(e)
				}
			}
		}
	}
	return b.Bytes()
}

func TestSeedAndSizeDecideEveryByte(t *testing.T) {
	t.Parallel()
	one := dump(t, generated(t, graphsim.TenantConfig{Size: 150, Seed: 7}))
	if !bytes.Equal(one, dump(t, generated(t, graphsim.TenantConfig{Size: 150, Seed: 7}))) {
		t.Error("the same seed made other bytes")
	}
	if bytes.Equal(one, dump(t, generated(t, graphsim.TenantConfig{Size: 150, Seed: 8}))) {
		t.Error("another seed made the same bytes")
	}
}

func TestSizeIsTheNumberOfPolicies(t *testing.T) {
	t.Parallel()
	enough := len(catalog.Types())
	for _, size := range []int{0, 1, 5, enough, enough + 1, 60, 1000} {
		tenant := generated(t, graphsim.TenantConfig{Size: size})
		n := 0
		for _, typ := range catalog.Types() {
			c := len(tenant.IDs(typ.Name))
			n += c
			if size >= enough && c == 0 {
				t.Errorf("size %d: no %s", size, typ.Name)
			}
		}
		if n != size {
			t.Errorf("size %d: %d objects", size, n)
		}
	}
}

func TestCountsNameExactNumbers(t *testing.T) {
	t.Parallel()
	tenant := generated(t, graphsim.TenantConfig{Counts: map[string]int{"configurationPolicies": 3}})
	if n, m := len(tenant.IDs("configurationPolicies")), len(tenant.IDs("groups")); n != 3 || m != 0 {
		t.Errorf("%d policies, %d groups", n, m)
	}
	dump(t, tenant)
}

func TestDemoTenantHasTheHardCases(t *testing.T) {
	t.Parallel()
	tenant := generated(t, graphsim.TenantConfig{Size: 60, Seed: 1})
	names, longest, most := map[string]int{}, 0, 0.0
	var illegal, foreign, twice bool
	for _, id := range tenant.IDs("configurationPolicies") {
		raw, err := tenant.Object("configurationPolicies", id)
		if err != nil {
			t.Fatal(err)
		}
		p := object(t, raw)
		name := p["name"].(string)
		names[name]++
		twice = twice || names[name] > 1
		longest = max(longest, len(name))
		illegal = illegal || strings.ContainsAny(name, `\/:*?"<>|`)
		foreign = foreign || utf8.RuneCountInString(name) < len(name)
		most = max(most, p["settingCount"].(float64))
	}
	if !illegal || !foreign || !twice || longest < 133 || most != 300 {
		t.Errorf("illegal %t, foreign %t, twice %t, longest %d, most settings %v", illegal, foreign, twice, longest, most)
	}
	all := string(dump(t, tenant))
	for _, want := range []string{
		"ChoiceSettingInstance", "GroupSettingCollectionInstance", "SimpleSettingCollectionInstance", "SecretSettingValue", `"value":"****"`,
		`#microsoft.graph.groupAssignmentTarget`, "exclusionGroupAssignmentTarget", "allLicensedUsersAssignmentTarget", "allDevicesAssignmentTarget",
		`"deviceAndAppManagementAssignmentFilterType":"include"`, "countryNamedLocation", "ipNamedLocation", `"isBuiltIn":true`, `"isGlobalScript":true`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s anywhere", want)
		}
	}
}

func TestEveryGeneratedObjectIsJSONWithItsID(t *testing.T) {
	t.Parallel()
	tenant := generated(t, graphsim.TenantConfig{Size: 400, Seed: 3})
	for _, typ := range types() {
		for _, id := range tenant.IDs(typ.Name) {
			raw, err := tenant.Object(typ.Name, id)
			if err != nil || !json.Valid(raw) || object(t, raw)["id"] != id {
				t.Fatalf("%s %s: %v %.200s", typ.Name, id, err, raw)
			}
		}
	}
}

func TestTenThousandPoliciesCostLittleMemory(t *testing.T) { //nolint:paralleltest // it measures the heap
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tenant := generated(t, graphsim.TenantConfig{Size: 10_000, Seed: 1})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 16<<20 {
		t.Errorf("%d MiB for ten thousand policies", used>>20)
	}
	if len(tenant.IDs("configurationPolicies")) < 3000 {
		t.Error("too few policies")
	}
}
