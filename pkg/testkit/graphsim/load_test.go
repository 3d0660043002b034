package graphsim_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// folder writes files into a fresh folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loaded serves folders.
func loaded(t *testing.T, dirs ...string) *world {
	t.Helper()
	return setup(t, graphsim.Config{NoQuotas: true, Tenants: []graphsim.TenantConfig{{Load: dirs}}})
}

func utf16With(order binary.AppendByteOrder, s string) string {
	b := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// reasons are the rejected files by base name.
func reasons(r graphsim.Report) map[string]string {
	out := map[string]string{}
	for _, f := range r.Rejected {
		out[filepath.Base(f.Path)] = f.Reason
	}
	return out
}

const (
	settingA = `{ "settingInstance":  {"settingDefinitionId": "a", "n": 1.50, "s": "\u00e4 é 🔒 \/" } }`
	settingB = "{\r\n\t\"id\": \"7\", \"settingInstance\": {\"settingDefinitionId\": \"b\", \"n\": 1E+2}}"
)

func TestEncodingsKeepEveryByteOfAValue(t *testing.T) {
	t.Parallel()
	policy := "{\r\n  \"id\": \"p\",\r\n  \"name\": \"Köln 🔒\",\r\n  \"platforms\": \"windows10\", \"technologies\": \"mdm\",\r\n  \"big\": 12345678901234567890.10,\r\n" +
		"  \"settings\": [\r\n" + settingA + ",\r\n" + settingB + "\r\n]\r\n}\r\n"
	for name, content := range map[string]string{
		"plain":     policy,
		"UTF-8 BOM": "\ufeff" + policy,
		"UTF-16 LE": utf16With(binary.LittleEndian, policy),
		"UTF-16 BE": utf16With(binary.BigEndian, policy),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := loaded(t, folder(t, map[string]string{"p.json": content}))
			els, _ := w.all(policies + "/p/settings")
			if len(els) != 2 || string(els[0]) != settingA || string(els[1]) != settingB {
				t.Errorf("settings %q", els)
			}
			item := w.get(policies + "/p").body
			for _, kept := range []string{`"name": "Köln 🔒"`, `12345678901234567890.10`, `"settingCount":2`} {
				if !bytes.Contains(item, []byte(kept)) {
					t.Errorf("%s is not in %s", kept, item)
				}
			}
			if bytes.Contains(item, []byte("settingInstance")) {
				t.Errorf("the item shows its settings: %s", item)
			}
		})
	}
}

func TestBadFilesAreNamedAndTheRestLoads(t *testing.T) {
	t.Parallel()
	w := loaded(t, folder(t, map[string]string{
		"good.json":            `{"@odata.type":"#microsoft.graph.windows10CustomConfiguration","id":"g","displayName":"good"}`,
		"broken.json":          "{\n  \"id\": \"x\",\n  \"name\": oops\n}",
		"cut.json":             `{"id":"x","settings":[`,
		"two.json":             `{"id":"x"} {"id":"y"}`,
		"latin1.json":          "{\"displayName\":\"K\xf6ln\"}",
		"half16.json":          "\xff\xfe{\x00}",
		"surrogate.json":       "\xff\xfe\"\x00\x00\xd8\"\x00",
		"empty.json":           "",
		"number.json":          "42",
		"LICENSE":              "MIT",
		"readme.md":            "# hello",
		"MigrationTable.json":  `{"TenantId":"t","Objects":[]}`,
		"intent.json":          `{"displayName":"ASR","TemplateId":"t","settingsDelta":[]}`,
		"role.json":            `{"@odata.type":"#microsoft.graph.deviceAndAppManagementRoleDefinition","displayName":"r"}`,
		"esp.json":             `{"@odata.type":"#microsoft.graph.windows10EnrollmentCompletionPageConfiguration","displayName":"r"}`,
		"strange.json":         `{"foo":1,"bar":2}`,
		"nosettings.json":      `{"id":"n","name":"n","platforms":"x","technologies":"mdm","settingCount":3}`,
		"script.json":          `{"@odata.type":"#microsoft.graph.deviceManagementScript","displayName":"s","scriptContent":null}`,
		"orphan_settings.json": `[` + settingA + `]`,
		"list.json":            `{"value":[]}`,
		".git/config.json":     `{"displayName":"not for us"}`,
	}))
	if got := w.Tenant(tenantID).IDs("deviceConfigurations"); !slices.Equal(got, []string{"g"}) {
		t.Errorf("loaded %v", got)
	}
	got := reasons(w.LoadReport())
	for file, want := range map[string]string{
		"broken.json": "line 3, column 11", "cut.json": "unexpected end", "two.json": "after top-level value", "latin1.json": "0xf6 at offset 17",
		"half16.json": "half a character", "surrogate.json": "surrogate", "empty.json": "empty", "number.json": "neither", "LICENSE": "not a .json", "readme.md": "not a .json",
		"MigrationTable.json": "migration table", "intent.json": "intent", "role.json": "RoleDefinition", "esp.json": "Enrollment", "strange.json": "foo, bar",
		"nosettings.json": "settingCount is 3", "script.json": "scriptContent is not in it", "orphan_settings.json": "called orphan", "list.json": "an empty array",
	} {
		if !strings.Contains(got[file], want) {
			t.Errorf("%s: %q, want something with %q", file, got[file], want)
		}
	}
	if len(got) != 19 {
		t.Errorf("%d rejected: %v", len(got), got)
	}
}

func TestTypesAreToldByTypeContextOrShape(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ content, kind string }{
		"type":              {`{"@odata.type":"#microsoft.graph.windows10CompliancePolicy","displayName":"x"}`, "deviceCompliancePolicies"},
		"derived type":      {`{"@odata.type":"#microsoft.graph.iosScepCertificateProfile","displayName":"x"}`, "deviceConfigurations"},
		"app type":          {`{"@odata.type":"#microsoft.graph.win32LobApp","displayName":"x"}`, "mobileApps"},
		"context":           {`{"@odata.context":"https://graph.microsoft.com/beta/$metadata#deviceManagement/deviceHealthScripts/$entity","displayName":"x","isGlobalScript":true}`, "deviceHealthScripts"},
		"expanded context":  {`{"@odata.context":"https://graph.microsoft.com/beta/$metadata#deviceManagement/deviceConfigurations(assignments())/$entity","displayName":"x"}`, "deviceConfigurations"},
		"envelope context":  {`{"@odata.context":"https://graph.microsoft.com/beta/$metadata#deviceManagement/roleScopeTags","value":[{"id":"4","displayName":"x"}]}`, "roleScopeTags"},
		"context, odd type": {`{"@odata.context":"https://graph.microsoft.com/beta/$metadata#deviceAppManagement/mobileApps/$entity","@odata.type":"#microsoft.graph.brandNew"}`, "mobileApps"},
		"access policy":     {`{"displayName":"x","conditions":{},"grantControls":null}`, "conditionalAccess/policies"},
		"location":          {`{"displayName":"x","countriesAndRegions":[]}`, "conditionalAccess/namedLocations"},
		"script":            {`{"displayName":"x","runAsAccount":"user","scriptContent":"eA=="}`, "deviceManagementScripts"},
		"filter":            {`{"displayName":"x","platform":"iOS","rule":"r"}`, "assignmentFilters"},
		"admx":              {`{"displayName":"x","definitionValues":[]}`, "groupPolicyConfigurations"},
		"group":             {`{"displayName":"x","securityEnabled":true,"mailEnabled":false}`, "groups"},
		"array":             {`[{"displayName":"x","omaSettings":[]}]`, "deviceConfigurations"},
		"array of one":      {`{"name":"x","platforms":"p","technologies":"t","settings":` + settingA + `}`, "configurationPolicies"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := loaded(t, folder(t, map[string]string{"x.json": tt.content}))
			if r := w.LoadReport(); len(r.Loaded) != 1 || r.Loaded[0].Type != tt.kind || r.Totals[tt.kind] != 1 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// TestWhatIsMadeLoadsAgain writes a generated tenant as exports and loads them:
// every object of every type is recognised and has its bytes.
func TestWhatIsMadeLoadsAgain(t *testing.T) {
	t.Parallel()
	made := generated(t, graphsim.TenantConfig{Size: 80, Seed: 9})
	files := map[string]string{}
	for _, typ := range types() {
		for i, id := range made.IDs(typ.Name) {
			raw, err := made.Object(typ.Name, id)
			if err != nil {
				t.Fatal(err)
			}
			text := `{"@odata.context":"https://graph.microsoft.com/beta/$metadata#` + typ.Path[1:] + `/$entity",` + string(raw[1:len(raw)-1])
			for _, name := range collections(typ) {
				els, err := made.Elements(typ.Name, id, name)
				if err != nil {
					t.Fatal(err)
				}
				all, _ := json.Marshal(els)
				text += `,"` + name + `":` + string(all)
			}
			files[fmt.Sprintf("%s/%d.json", typ.Name, i)] = text + "}"
		}
	}
	w := loaded(t, folder(t, files))
	if r := w.LoadReport(); len(r.Rejected) > 0 || len(r.Loaded) != len(files) {
		t.Fatalf("loaded %d of %d; rejected %+v", len(r.Loaded), len(files), r.Rejected)
	}
	again := w.Tenant(tenantID)
	for _, typ := range types() {
		for _, id := range made.IDs(typ.Name) {
			before, _ := made.Object(typ.Name, id)
			after, err := again.Object(typ.Name, id)
			if err != nil || !bytes.HasSuffix(after, before[1:]) {
				t.Errorf("%s %s: %v; loaded as %.300s", typ.Name, id, err, after)
			}
		}
	}
}

func TestSettingsAndAssignmentsBesideTheirPolicy(t *testing.T) {
	t.Parallel()
	bare := func(id string) string {
		return `{"id":"` + id + `","name":"n","platforms":"p","technologies":"t","settingCount":2}`
	}
	both := `[` + settingA + `,` + settingB + `]`
	assigned := `[{"id":"p_g","target":{"@odata.type":"#microsoft.graph.groupAssignmentTarget","groupId":"g"}}]`
	for name, files := range map[string]map[string]string{
		"suffix":      {"n.json": bare("p"), "n_settings.json": both, "n_assignments.json": assigned},
		"folder":      {"n.json": bare("p"), "Settings/n.json": both, "Assignments/n.json": assigned},
		"envelope":    {"n.json": bare("p"), "n_Settings.json": `{"@odata.context":"x","value":` + both + `}`, "Assignments/n.json": assigned},
		"context":     {"n.json": bare("p"), "else/where.json": `{"@odata.context":"https://graph.microsoft.com/beta/$metadata#deviceManagement/configurationPolicies('p')/settings","value":` + both + `}`, "a.json": assigned},
		"one setting": {"n.json": bare("p"), "n.settings.json": settingA, "Assignments/n.json": assigned},
		"inline":      {"n.json": strings.Replace(bare("p"), `2}`, `2,"settings":`+both+`,"assignments":`+assigned+`}`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := loaded(t, folder(t, files))
			els, _ := w.all(policies + "/p/settings")
			if count := w.get(policies + "/p").object()["settingCount"]; len(els) == 0 || string(els[0]) != settingA || count != float64(len(els)) {
				t.Errorf("%d settings, settingCount %v", len(els), count)
			}
			if a, _ := w.all(policies + "/p/assignments"); len(a) != 1 || object(t, a[0])["id"] != "p_g" {
				t.Errorf("assignments %s", a)
			}
			if r := w.LoadReport(); len(r.Rejected) > 0 {
				t.Errorf("rejected %+v", r.Rejected)
			}
		})
	}
}

func TestIDsAreMadeAndKeptApart(t *testing.T) {
	t.Parallel()
	config := func(id, name string) string {
		return `{` + id + `"@odata.type":"#microsoft.graph.windows10CustomConfiguration","displayName":"` + name + `"}`
	}
	dir := folder(t, map[string]string{
		"a/1.json":  config(`"id":"same",`, "one"),
		"b/1.json":  config(`"id":"same",`, "one"),
		"c.json":    config("", "none"),
		"d.json":    config(`"id":"",`, "none"),
		"many.json": `[` + config("", "x") + `,` + config("", "y") + `]`,
	})
	w := loaded(t, dir)
	ids := w.Tenant(tenantID).IDs("deviceConfigurations")
	if distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(ids) != 6 || len(distinct) != 6 || ids[0] != "same" {
		t.Errorf("ids %v", ids)
	}
	if again := loaded(t, dir).Tenant(tenantID).IDs("deviceConfigurations"); !slices.Equal(ids, again) {
		t.Errorf("a second load makes other ids: %v, %v", ids, again)
	}
	for i, e := range first(w.all("/beta/deviceManagement/deviceConfigurations")) {
		if got := object(t, e)["id"]; got != ids[i] {
			t.Errorf("element %d says id %v, want %s", i, got, ids[i])
		}
	}
	notes := 0
	for _, f := range w.LoadReport().Loaded {
		notes += len(f.Notes)
	}
	if notes != 5 {
		t.Errorf("%d notes in %+v", notes, w.LoadReport().Loaded)
	}
	if twice := loaded(t, dir, dir).Tenant(tenantID).IDs("deviceConfigurations"); len(twice) != 12 {
		t.Errorf("the folder twice: %v", twice)
	}
}

func TestWrongSettingCountIsCorrected(t *testing.T) {
	t.Parallel()
	w := loaded(t, folder(t, map[string]string{
		"p.json": `{"id":"p","name":"n","platforms":"p","technologies":"t","settingCount": 60 ,"settings":[` + settingA + `]}`,
	}))
	if body := w.get(policies + "/p").body; !bytes.Contains(body, []byte(`"settingCount": 1}`)) {
		t.Errorf("item %s", body)
	}
	if n := w.LoadReport().Loaded[0].Notes; len(n) != 1 || !strings.Contains(n[0], "60 corrected to 1") {
		t.Errorf("notes %v", n)
	}
}

func TestWhatIsNoFolderIsAnError(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"file.json": "{}"})
	for _, name := range []string{"none", "file.json"} {
		_, err := graphsim.New(graphsim.Config{Tenants: []graphsim.TenantConfig{{ID: "t", ClientID: "c", ClientSecret: "s", Load: []string{filepath.Join(dir, name)}}}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLinkedFolderAndUnfinishedPage(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"real/groups.json": `{"@odata.context":"https://graph.microsoft.com/beta/$metadata#groups","@odata.nextLink":"https://x","value":[{"id":"a","displayName":"A"},7]}`,
	})
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "real"), link); err != nil {
		t.Skip(err)
	}
	r := loaded(t, link).LoadReport()
	if len(r.Loaded) != 1 || len(r.Loaded[0].Notes) != 1 || !strings.HasSuffix(r.Loaded[0].Path, "groups.json[0]") || reasons(r)["groups.json[1]"] != "not a JSON object" {
		t.Errorf("report %+v", r)
	}
}

// TestRealExports serves exports of real tenants, where there are any, and
// finds every setting of every file again, byte by byte.
func TestRealExports(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("TENANTPILOT_REAL_DATA")
	if dir == "" {
		t.Skip("TENANTPILOT_REAL_DATA names no folder")
	}
	w := loaded(t, dir)
	r := w.LoadReport()
	for _, f := range r.Loaded {
		for _, n := range f.Notes {
			t.Logf("%s: %s", f.Path, n)
		}
	}
	for _, f := range r.Rejected {
		t.Logf("%s: not loaded: %s", f.Path, f.Reason)
	}
	t.Log(r.Totals)
	for _, f := range r.Loaded {
		if f.Type != "configurationPolicies" {
			continue
		}
		want := settingsIn(t, f.Path)
		got, _ := w.all(policies + "/" + f.ID + "/settings")
		if !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s: %d settings served, %d in the file, or not the same bytes", f.Path, len(got), len(want))
		}
	}
}

// settingsIn reads a file's inline settings without any code under test.
func settingsIn(t *testing.T, path string) []json.RawMessage {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 2 && raw[0] == 0xff && raw[1] == 0xfe {
		units := make([]uint16, len(raw)/2-1)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(raw[2*i+2:])
		}
		raw = []byte(string(utf16.Decode(units)))
	}
	var p struct{ Settings []json.RawMessage }
	if err := json.Unmarshal(bytes.TrimPrefix(raw, []byte("\ufeff")), &p); err != nil {
		t.Fatal(err)
	}
	return p.Settings
}
