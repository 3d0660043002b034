package kind

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// basesText names the base of every type in Graph's schema, as Microsoft's
// published models have them; "" where it has none.
//
//go:embed bases.json
var basesText []byte

var bases = sync.OnceValue(func() map[string]string {
	var of map[string]string
	if err := json.Unmarshal(basesText, &of); err != nil {
		panic(err) // built in, and tested
	}
	return of
})

// kindOfShape recognises an object without any OData annotation by the marks of
// its entry. Of several kinds it is the one whose fixtures know most of its
// properties; nil: none.
func kindOfShape(raw []byte) *Kind {
	has := keysOf(raw)
	var best *Kind
	most := -1
	for _, k := range All() {
		if !k.marked(has) {
			continue
		}
		if n := k.known(has); n > most {
			best, most = k, n
		}
	}
	return best
}

func (k *Kind) marked(has map[string]bool) bool {
	return has[k.NameProperty] && slices.ContainsFunc(k.Marks, func(marks []string) bool { return hasAll(has, marks) })
}

// known counts the properties that the kind's fixtures have too.
func (k *Kind) known(has map[string]bool) (n int) {
	for key := range has {
		if slices.ContainsFunc(k.fixtures, func(f *fixture) bool { return f.Navs[key] != nil || rawjson.Property(f.Body, key) != nil }) {
			n++
		}
	}
	return n
}

func hasAll(has map[string]bool, keys []string) bool {
	return len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return !has[k] })
}

// partShape recognises an element of a navigation property: by the marks of its
// collection or, of one that is expanded, by what is expanded inside it.
func partShape(raw []byte) string {
	if strings.HasSuffix(rawjson.Text(rawjson.Property(raw, "target"), "@odata.type"), "AssignmentTarget") {
		return Assignments
	}
	has := keysOf(raw)
	for _, k := range All() {
		for _, n := range k.Navs {
			if hasAll(has, n.marks) && !has[k.NameProperty] {
				return n.Name
			}
		}
	}
	return ""
}

// keysOf returns the names of an object's properties, without annotations. The
// property x@odata.bind counts as the x that it refers to.
func keysOf(raw []byte) map[string]bool {
	ms, err := rawjson.Members(raw)
	if err != nil {
		return nil
	}
	out := map[string]bool{}
	for _, m := range ms {
		key, bound := strings.CutSuffix(m.Key, "@odata.bind")
		if bound || !strings.ContainsAny(key, "@#") {
			out[key] = true
		}
	}
	return out
}

// PartNames are the navigation properties of all kinds.
func PartNames() (names []string) {
	for _, k := range All() {
		for _, n := range k.Navs {
			if !slices.Contains(names, n.Name) {
				names = append(names, n.Name)
			}
		}
	}
	return names
}
