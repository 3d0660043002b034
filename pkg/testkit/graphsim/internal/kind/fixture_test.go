package kind

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// folder is where a kind's fixtures are, from the root of the repository.
func folder(k *Kind) string { return "pkg/testkit/graphsim/fixtures/" + k.Name }

// lineOf finds the line of a fixture that a complaint is about: the first that
// mentions text, else the first.
func lineOf(t *testing.T, f *fixture, text string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "fixtures", filepath.FromSlash(f.file)))
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := bytes.Cut(raw, []byte(text))
	if !found {
		before = nil
	}
	return fmt.Sprintf("pkg/testkit/graphsim/fixtures/%s:%d", f.file, 1+bytes.Count(before, []byte("\n")))
}

// entryOf returns the file and the line where a type's entry in the catalog begins,
// and its name.
func entryOf(t *testing.T, name string) string {
	t.Helper()
	for _, file := range []string{"intune.go", "entra.go"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "graph", "catalog", file))
		if err != nil {
			t.Fatal(err)
		}
		if before, _, ok := bytes.Cut(raw, []byte(`Name: "`+name+`", Entity`)); ok {
			return fmt.Sprintf("pkg/graph/catalog/%s:%d: %s", file, 1+bytes.Count(before, []byte("\n")), name)
		}
	}
	return "pkg/graph/catalog: " + name
}

// TestEveryTypeHasItsFixtures names what a type's folder lacks for the
// generator to make objects like those of a real tenant.
func TestEveryTypeHasItsFixtures(t *testing.T) {
	t.Parallel()
	for _, k := range All() {
		if len(k.fixtures) == 0 {
			t.Errorf("%s: add a folder with at least one *.json: an object of the type as Graph sends it, with its collections %s inline",
				folder(k), strings.Join(partsOf(k), ", "))
			continue
		}
		for _, f := range k.fixtures {
			complain(t, k, f)
		}
		for _, n := range k.Navs {
			unread := slices.Contains(k.Unread, n.Name)
			if !unread && !slices.ContainsFunc(k.fixtures, func(f *fixture) bool { return len(f.Navs[n.Name]) > 0 }) {
				t.Errorf("%s: add %q: [ … ] to one of the fixtures, with at least one element, or no object made will have any", lineOf(t, k.fixtures[0], ""), n.Name)
			}
		}
	}
}

func partsOf(k *Kind) (names []string) {
	for _, n := range k.Navs {
		if !slices.Contains(k.Unread, n.Name) {
			names = append(names, n.Name)
		}
	}
	return names
}

// complain names what one fixture lacks that its entry says it has.
func complain(t *testing.T, k *Kind, f *fixture) {
	t.Helper()
	need := func(property, why string) {
		if v := rawjson.Text(f.Body, property); v == "" {
			t.Errorf("%s: add %q: %s", lineOf(t, f, property), property, why)
		}
	}
	need("id", "the generator makes ids like it")
	need(k.NameProperty, "by the entry it is the name")
	if !f.builtIn {
		for _, name := range k.Content {
			need(name, "by the entry an item always has it")
		}
	}
	if k.BuiltIn != "" && rawjson.Property(f.Body, k.BuiltIn) == nil {
		t.Errorf("%s: add %q: true or false", lineOf(t, f, ""), k.BuiltIn)
	}
	for _, n := range k.Navs {
		if n.Count != "" && string(rawjson.Property(f.Body, n.Count)) != fmt.Sprint(len(f.Navs[n.Name])) {
			t.Errorf("%s: %q must be %d, as many %s as there are", lineOf(t, f, n.Count), n.Count, len(f.Navs[n.Name]), n.Name)
		}
		for _, e := range f.Navs[n.Name] {
			if len(n.Below) > 0 && rawjson.Text(e, "id") == "" {
				t.Errorf("%s: every element needs an \"id\": %s are asked for by it", lineOf(t, f, n.Name), n.Below[0].Name)
			}
		}
	}
}

// TestEveryFixtureIsRecognised serves each fixture as an export, whole and
// without its annotations.
func TestEveryFixtureIsRecognised(t *testing.T) {
	t.Parallel()
	for _, k := range All() {
		for _, f := range k.fixtures {
			raw, err := os.ReadFile(filepath.Join("..", "..", "fixtures", filepath.FromSlash(f.file)))
			if err != nil {
				t.Fatal(err)
			}
			if v := (Export{Raw: raw}).Classify(); v.Kind != k {
				t.Errorf("pkg/testkit/graphsim/fixtures/%s:1: as an export it is taken for %s", f.file, taken(v))
			}
			v := (Export{Raw: bare(f)}).Classify()
			switch {
			case v.Kind == nil && k.sure(f):
				t.Errorf("%s: the fixture has all Marks, and yet without annotations it is taken for %s", lineOf(t, f, ""), taken(v))
			case v.Kind != nil && v.Kind != k:
				t.Errorf("%s: without annotations it is taken for %s: %s: add to the Marks a property that only its objects have",
					lineOf(t, f, ""), taken(v), entryOf(t, k.Name))
			}
		}
	}
}

func (k *Kind) sure(f *fixture) bool { return k.marked(keysOf(bare(f))) }

func taken(v Verdict) string {
	if v.Kind != nil {
		return v.Kind.Name
	}
	return "nothing: " + v.Reason + v.Part
}

// bare is a fixture with its collections and without a single annotation of its own.
func bare(f *fixture) json.RawMessage {
	raw := rawjson.Cut(f.Body, "@odata.type")
	for name, els := range f.Navs {
		raw = rawjson.AppendMember(raw, name, rawjson.Array(els))
	}
	return raw
}

// TestEveryTypeIsMarked: an export without annotations is recognised by an
// entry's Marks alone, so every type has some that its fixtures have.
func TestEveryTypeIsMarked(t *testing.T) {
	t.Parallel()
	for _, k := range All() {
		if len(k.fixtures) > 0 && !slices.ContainsFunc(k.fixtures, k.sure) {
			t.Errorf("%s: no fixture has all of one of its Marks %v; properties that no other type has: %v", entryOf(t, k.Name), k.Marks, k.own())
		}
	}
}

// own are the properties of a kind's fixtures that no other kind's have.
func (k *Kind) own() (names []string) {
	for name := range keysOf(bare(k.fixtures[0])) {
		one := map[string]bool{name: true}
		if !slices.ContainsFunc(All(), func(other *Kind) bool { return other != k && other.known(one) > 0 }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestEveryEntryIsUnderstood: what an entry expands is read without complaint,
// and Graph's schema has its type.
func TestEveryEntryIsUnderstood(t *testing.T) {
	t.Parallel()
	for _, typ := range catalog.Types() {
		if _, err := ParseExpand(typ.Expand); err != nil {
			t.Errorf("%s: Expand: %v", entryOf(t, typ.Name), err)
		}
		if _, known := bases()[typ.Entity]; !known {
			t.Errorf("%s: Entity %q is no type of Graph's schema (pkg/testkit/graphsim/internal/kind/bases.json)", entryOf(t, typ.Name), typ.Entity)
		}
		for _, c := range typ.Children {
			if _, err := ParseExpand(strings.TrimPrefix(c.Query, "$expand=")); err != nil || strings.Contains(c.Query, "&") {
				t.Errorf("%s: the Query of %s is not $expand alone: %q", entryOf(t, typ.Name), c.Name, c.Query)
			}
		}
	}
}

// TestMadeObjectsKeepTheirFixturesShape: generated objects have the properties
// of their fixture in its order, and refer only to what is there.
func TestMadeObjectsKeepTheirFixturesShape(t *testing.T) {
	t.Parallel()
	m := NewMaker(5, 200, nil)
	for _, k := range All() {
		for i, own := range m.Ids(k) {
			f := k.like(i)
			made, want := namesIn(m.Body(k, i)), namesIn(f.Body)
			if !slices.Equal(made, want) {
				t.Fatalf("%s: properties %v, want those of %s: %v", k.Name, made, f.file, want)
			}
			all := m.Body(k, i)
			for _, n := range k.Navs {
				all = rawjson.AppendMember(all, n.Name, rawjson.Array(m.Nav(k, i, n.Name).All()))
			}
			for id, of := range fixtureIDs() {
				if bytes.Contains(all, []byte(id)) {
					t.Errorf("%s %s names the id of a fixture of %s", k.Name, own, of)
				}
			}
		}
	}
}

func fixtureIDs() map[string]string {
	ids := map[string]string{}
	for _, k := range All() {
		for _, f := range k.fixtures {
			if guids.MatchString(f.id) {
				ids[f.id] = k.Name
			}
		}
	}
	return ids
}

func namesIn(raw []byte) (names []string) {
	for v := range rawjson.Values(raw) {
		if v.Depth == 1 {
			names = append(names, v.Key)
		}
	}
	return names
}
