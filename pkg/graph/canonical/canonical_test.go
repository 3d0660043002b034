package canonical

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/graph/internal/rawjsontest"
)

// object is what is hashed.
type object struct {
	Raw         json.RawMessage
	Children    []Element
	Assignments []json.RawMessage
}

func hash(t require.TestingT, typ catalog.Type, o object) [32]byte {
	h, err := NewHasher(typ).Hash(o.Raw, o.Children, o.Assignments)
	require.NoError(t, err)
	return h
}

func typeNamed(t *testing.T, name string) catalog.Type {
	t.Helper()
	typ, ok := catalog.Lookup(name)
	require.True(t, ok, name)
	return typ
}

func TestHash_pairs(t *testing.T) {
	t.Parallel()
	policies, oma, apps := "configurationPolicies", "deviceConfigurations", "mobileApps"
	tests := map[string]struct {
		of   string
		a, b string
		same bool
	}{
		"key order and space":      {of: policies, a: `{"a":1,"b":[1,2]}`, b: "{ \"b\" : [ 1 ,\n2 ] , \"a\":1 }", same: true},
		"escapes":                  {of: policies, a: `{"a":"é/\n"}`, b: `{"a":"\u00e9\/\u000a"}`, same: true},
		"a surrogate pair":         {of: policies, a: `{"a":"😀"}`, b: `{"a":"\ud83d\ude00"}`, same: true},
		"different lone halves":    {of: policies, a: `{"a":"\ud83d"}`, b: `{"a":"\ud83e"}`},
		"a half before another":    {of: policies, a: `{"a":"\ud83d\ud83d\ude00"}`, b: `{"a":"\ud83d😀"}`, same: true},
		"equal decimals":           {of: policies, a: `{"a":1.50}`, b: `{"a":15e-1}`, same: true},
		"zero":                     {of: policies, a: `{"a":0}`, b: `{"a":-0.0e7}`, same: true},
		"hundred":                  {of: policies, a: `{"a":100}`, b: `{"a":1.0E+2}`, same: true},
		"digits beyond a float":    {of: policies, a: `{"a":9007199254740993}`, b: `{"a":9007199254740992}`},
		"sign":                     {of: policies, a: `{"a":-1}`, b: `{"a":1}`},
		"magnitude":                {of: policies, a: `{"a":10}`, b: `{"a":1}`},
		"number and string":        {of: policies, a: `{"a":1}`, b: `{"a":"1"}`},
		"null is not absent":       {of: policies, a: `{"a":null}`, b: `{}`},
		"false is not absent":      {of: policies, a: `{"mailEnabled":false}`, b: `{}`},
		"the last of two keys":     {of: policies, a: `{"a":1,"a":2}`, b: `{"a":2}`, same: true},
		"an escaped key":           {of: policies, a: `{"\u0061":1}`, b: `{"a":1}`, same: true},
		"who and when":             {of: policies, a: `{"id":"1","lastModifiedDateTime":"x","version":1,"a":1}`, b: `{"id":"2","lastModifiedDateTime":"y","a":1}`, same: true},
		"version further down":     {of: policies, a: `{"a":{"version":1}}`, b: `{"a":{"version":2}}`},
		"id further down":          {of: policies, a: `{"a":{"id":"1"}}`, b: `{"a":{"id":"2"}}`},
		"the type's own read-only": {of: policies, a: `{"settingCount":1}`, b: `{"settingCount":2}`, same: true},
		"another type's read-only": {of: oma, a: `{"settingCount":1}`, b: `{"settingCount":2}`},
		"annotations at any depth": {of: policies, a: `{"a":{"b@odata.navigationLink":"x","@odata.etag":"y","#microsoft.graph.assign":{}}}`, b: `{"a":{}}`, same: true},
		"the type annotation":      {of: policies, a: `{"a":{"@odata.type":"x"}}`, b: `{"a":{"@odata.type":"y"}}`},
		"scope tags are a set":     {of: policies, a: `{"roleScopeTagIds":["1","0"]}`, b: `{"roleScopeTagIds":["0","1"]}`, same: true},
		"a set is not its member":  {of: policies, a: `{"roleScopeTagIds":["0","0"]}`, b: `{"roleScopeTagIds":["0"]}`},
		"other arrays keep order":  {of: policies, a: `{"a":["1","0"]}`, b: `{"a":["0","1"]}`},
		"nesting":                  {of: policies, a: `{"a":[[1],2]}`, b: `{"a":[1,[2]]}`},
		"how a secret is marked":   {of: oma, a: `{"omaSettings":[{"omaUri":"u","isEncrypted":true,"secretReferenceValueId":"a"}]}`, b: `{"omaSettings":[{"omaUri":"u","secretReferenceValueId":"b"}]}`, same: true},
		"categories by id":         {of: apps, a: `{"categories":[{"id":"1","displayName":"x"},{"id":"2"}]}`, b: `{"categories":[{"id":"2"},{"id":"1","displayName":"y"}]}`, same: true},
		"another category":         {of: apps, a: `{"categories":[{"id":"1"}]}`, b: `{"categories":[{"id":"2"}]}`},
		"inline assignments":       {of: apps, a: `{"assignments":[1]}`, b: `{"assignments":[2]}`, same: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ := typeNamed(t, test.of)
			a, b := hash(t, typ, object{Raw: []byte(test.a)}), hash(t, typ, object{Raw: []byte(test.b)})
			require.Equal(t, test.same, a == b)
		})
	}
}

func TestHash_assignments(t *testing.T) {
	t.Parallel()
	target := func(rest string) string { return `{"target":{"groupId":"g"` + rest + `}}` }
	plain := []string{target(""), `{"target":{"groupId":"h"},"intent":"required"}`}
	tests := map[string]struct {
		rows []string
		same bool
	}{
		"another order":       {rows: []string{plain[1], plain[0]}, same: true},
		"ids and sources":     {rows: []string{`{"id":"1","source":"direct","sourceId":"x","target":{"groupId":"g"}}`, plain[1]}, same: true},
		"the zero filter":     {rows: []string{target(`,"deviceAndAppManagementAssignmentFilterId":"00000000-0000-0000-0000-000000000000","deviceAndAppManagementAssignmentFilterType":"include"`), plain[1]}, same: true},
		"a filter of no type": {rows: []string{target(`,"deviceAndAppManagementAssignmentFilterId":null,"deviceAndAppManagementAssignmentFilterType":"none"`), plain[1]}, same: true},
		"the same row twice":  {rows: []string{plain[0], plain[0], plain[1]}, same: true},
		"a filter":            {rows: []string{target(`,"deviceAndAppManagementAssignmentFilterId":"f","deviceAndAppManagementAssignmentFilterType":"include"`), plain[1]}},
		"another group":       {rows: []string{plain[0], `{"target":{"groupId":"i"},"intent":"required"}`}},
		"another intent":      {rows: []string{plain[0], `{"target":{"groupId":"h"},"intent":"available"}`}},
		"one less":            {rows: plain[:1]},
	}
	typ := typeNamed(t, "deviceConfigurations")
	want := hash(t, typ, object{Raw: []byte(`{}`), Assignments: raws(plain)})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := hash(t, typ, object{Raw: []byte(`{}`), Assignments: raws(test.rows)})
			require.Equal(t, test.same, want == got)
		})
	}
}

func raws(texts []string) []json.RawMessage {
	out := make([]json.RawMessage, len(texts))
	for i, s := range texts {
		out[i] = json.RawMessage(s)
	}
	return out
}

// Values of a template hang on their definition, whatever ids the rows have.
func TestHash_nestedChildren(t *testing.T) {
	t.Parallel()
	typ := typeNamed(t, "groupPolicyConfigurations")
	made := func(first, second, value, text string) object {
		define := func(id, definition string) Element {
			return Element{Collection: "definitionValues", ID: id, Raw: fmt.Appendf(nil, `{"id":%q,"enabled":true,"definition":{"id":%q,"explainText":%q}}`, id, definition, text)}
		}
		present := func(under, value string) Element {
			return Element{Collection: "presentationValues", ParentID: under, Raw: fmt.Appendf(nil, `{"id":"p%s","value":%q,"presentation":{"id":"x"}}`, under, value)}
		}
		return object{Raw: []byte(`{}`), Children: []Element{
			define(first, "d1"), define(second, "d2"), present(first, value), present(second, "other"),
		}}
	}
	want := hash(t, typ, made("1", "2", "v", "old words"))
	require.Equal(t, want, hash(t, typ, made("8", "3", "v", "new words")))
	require.NotEqual(t, want, hash(t, typ, made("1", "2", "other", "old words")), "another value")
	swapped := made("1", "2", "v", "old words")
	swapped.Children[2].ParentID, swapped.Children[3].ParentID = "2", "1"
	require.NotEqual(t, want, hash(t, typ, swapped), "the same values under other definitions")
}

func TestHash_refusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	h := NewHasher(typeNamed(t, "deviceConfigurations"))
	_, err := h.Hash([]byte(`{"a":`), nil, nil)
	require.Error(t, err)
	_, err = h.Hash([]byte(`{}`), nil, raws([]string{`{"target":`}))
	require.Error(t, err)
}

// leaves returns the number of scalars in v.
func leaves(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, in := range v {
			n += leaves(in)
		}
	case []any:
		for _, in := range v {
			n += leaves(in)
		}
	default:
		n = 1
	}
	return n
}

// change returns a copy of v in which the nth scalar is another one.
func change(v any, nth *int) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out[k] = change(v[k], nth)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = change(v[i], nth)
		}
		return out
	default:
		*nth--
		if *nth != -1 {
			return v
		}
		return []any{"changed", v}
	}
}

func TestHash_property(t *testing.T) {
	t.Parallel()
	typ := typeNamed(t, "configurationPolicies")
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.MapOfN(rapid.StringMatching(`[a-h]{1,3}`), rawjsontest.Tree(3), 1, 5).Draw(t, "body")
		settings := rapid.SliceOfN(rawjsontest.Tree(2), 0, 5).Draw(t, "settings")
		seed := rapid.Uint64().Draw(t, "seed")
		made := func(seed uint64, root any) object {
			r := rand.New(rand.NewPCG(seed, 1))
			o := object{Raw: rawjsontest.Render(root, seed)}
			for i, at := range r.Perm(len(settings)) {
				o.Children = append(o.Children, Element{
					Collection: "settings", Ordinal: i,
					Raw: rawjsontest.Render(map[string]any{"id": fmt.Sprint(i), "settingInstance": settings[at]}, seed+uint64(i)),
				})
			}
			return o
		}
		plain := any(map[string]any(body))
		want := hash(t, typ, made(seed, plain))
		require.Equal(t, want, hash(t, typ, made(seed+1, plain)), "order and space")
		if n := leaves(plain); n > 0 {
			at := rapid.IntRange(0, n-1).Draw(t, "leaf")
			require.NotEqual(t, want, hash(t, typ, made(seed, change(plain, &at))), "a value changed")
		}
	})
}

func FuzzHash(f *testing.F) {
	for _, s := range []string{`{"a":"\ud83d\ude00","b":[1.0e5,-0,{}]}`, `{"@odata.type":"x","children":[{},null]}`, `{"a":1,"a":[[]]}`, `{"a":{"b":1,"c"`, `{"a":[1,{"b":2,}]} x`} {
		f.Add([]byte(s))
	}
	typ, _ := catalog.Lookup("configurationPolicies")
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := NewHasher(typ).Hash(raw, nil, nil)
		if (err == nil) != json.Valid(raw) {
			t.Fatalf("valid %v, err %v", json.Valid(raw), err)
		}
		if err != nil {
			return
		}
		var indented strings.Builder
		encoder := json.NewEncoder(&indented)
		encoder.SetIndent("\t", " ")
		if err := encoder.Encode(json.RawMessage(raw)); err != nil {
			t.Skip() // deeper than encoding/json writes
		}
		if got != hash(t, typ, object{Raw: json.RawMessage(indented.String())}) {
			t.Fatal("space changed the hash")
		}
	})
}

// Stored hashes are compared with new ones for years: if this fails, the rules
// changed, and [Version] has to.
func TestHash_pinned(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1, Version)
	o := object{
		Raw: json.RawMessage(`{"id":"1","name":"é\n","n":[1.50,-0,1e3,9007199254740993],"roleScopeTagIds":["1","0"],"settingCount":2,"x":null}`),
		Children: []Element{
			{Collection: "settings", Raw: json.RawMessage(`{"id":"0","settingInstance":{"@odata.type":"#t","settingDefinitionId":"b","choiceSettingValue":{"value":"\ud83d","children":[{"b":1},{"a":2}]}}}`)},
			{Collection: "settings", Raw: json.RawMessage(`{"id":"1","settingInstance":{"settingDefinitionId":"a"}}`)},
		},
		Assignments: raws([]string{`{"id":"1","source":"direct","target":{"@odata.type":"#g","groupId":"g","deviceAndAppManagementAssignmentFilterType":"none"}}`}),
	}
	h := hash(t, typeNamed(t, "configurationPolicies"), o)
	require.Equal(t, "1778d5356ad63dc17517b216f3a3f5602185df2af35d92a420db153162e5ac5c", hex.EncodeToString(h[:]))
}
