package graphsim

import (
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// maker makes the objects of a generated tenant out of seed, kind and index
// alone: nothing is stored, and the same object always has the same bytes. What
// it makes is like the kind's fixtures (see [compiler]).
type maker struct {
	seed   uint64
	counts map[string]int
}

// generate fills the tenant with objects still to be made.
func (t *Tenant) generate(cfg TenantConfig) {
	t.made = &maker{seed: cfg.Seed, counts: cfg.Counts}
	if cfg.Counts == nil {
		t.made.counts = counts(cfg.Size)
	}
	for _, k := range kinds() {
		if len(k.fixtures) == 0 {
			continue
		}
		for i := range t.made.counts[k.Name] {
			t.kinds[k.Name].add(&entry{id: t.made.id(k, i), index: i})
		}
	}
}

const (
	most      = "configurationPolicies" // what real tenants have most of
	mostShare = 40                      // percent, at least
	maxGroups = 2000
)

// counts deals size out: one of every type, if there are enough, an equal part
// of six tenths of the rest, within Microsoft's own maxima, and all that is left
// over as configuration policies.
func counts(size int) map[string]int {
	out := map[string]int{most: size}
	if size > 0 {
		out[groups.Name] = min(12+size/5, maxGroups)
	}
	types := catalog.Types()
	spare, others := size-len(types), len(types)-1
	if spare < 0 {
		return out
	}
	for _, t := range types {
		if t.Name == most {
			continue
		}
		n := 1 + spare*(100-mostShare)/100/others
		if t.Max > 0 {
			n = min(n, t.Max)
		}
		out[t.Name] = n
		out[most] -= n
	}
	return out
}

// id returns the id of object i. It has the form of the fixture's: a small
// number, a GUID, or a GUID with words around it.
func (m *maker) id(k *kind, i int) string {
	if len(k.fixtures) == 0 {
		return guid("no "+k.Name, strconv.Itoa(i))
	}
	like := k.like(i).id
	if _, err := strconv.Atoi(like); err == nil {
		return strconv.Itoa(i) // "0" is the built-in scope tag Default
	}
	own := guid("generated", strconv.FormatUint(m.seed, 10), k.Name, strconv.Itoa(i))
	if around := guids.FindString(like); around != "" {
		return strings.Replace(like, around, own, 1)
	}
	return own
}

// some returns the id of one object of a kind, or an id that no object has if
// there are no objects of the kind. Equal parts give the same object.
func (m *maker) some(k *kind, parts ...string) string {
	n := m.counts[k.Name]
	r := m.rng(k.Name, strings.Join(parts, "\n"), 0)
	if n == 0 || len(k.fixtures) == 0 {
		return guid("no "+k.Name, strconv.Itoa(r.IntN(20)))
	}
	return m.id(k, r.IntN(n))
}

// rng is the source of chance for one part of one object.
func (m *maker) rng(kind, part string, i int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(kind + "\n" + part))
	return rand.New(rand.NewPCG(m.seed^h.Sum64(), uint64(i)*0x9e3779b97f4a7c15+1))
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (m *maker) making(k *kind, e *entry, part string) *making {
	return &making{maker: m, kind: k, entry: e, like: k.like(e.index), chance: m.rng(k.Name, part, e.index)}
}

// body makes an object as an item shows it.
func (m *maker) body(k *kind, e *entry) json.RawMessage {
	x := m.making(k, e, "body")
	return x.like.text.make(x)
}

// nav makes the elements of a navigation property.
func (m *maker) nav(k *kind, e *entry, name string) sequence {
	n, _ := k.nav(name)
	from := k.like(e.index).parts[name]
	switch {
	case name == assignments:
		return sequenceOf(m.assignments(k, e))
	case !n.collection:
		return sequence{len: len(from), at: func(i int) json.RawMessage {
			x := m.making(k, e, name+strconv.Itoa(i))
			x.ordinal = i
			return from[i].make(x)
		}}
	case len(from) == 0:
		return sequence{}
	}
	start := m.rng(k.Name, name, e.index).IntN(len(from))
	return sequence{len: m.length(k, e, n), at: func(i int) json.RawMessage {
		x := m.making(k, e, name+strconv.Itoa(i))
		x.ordinal, x.round = i, (start+i)/len(from)
		return from[(start+i)%len(from)].make(x)
	}}
}

// length is how many elements a collection of an object has: most a handful,
// some exactly at and just past a page, a few hundreds. Where every element has
// a collection of its own, which costs a request, none has hundreds.
func (m *maker) length(k *kind, e *entry, n nav) int {
	if len(k.like(e.index).parts[n.name]) == 0 {
		return 0
	}
	r := m.rng(k.Name, "length of "+n.name, e.index)
	few := 1 + r.IntN(20)
	switch at := e.index % 20; {
	case len(n.below) > 0 && e.index%5 == 0:
		return childPage + 1 + few/2
	case len(n.below) > 0:
		return 1 + few/2
	case at == 0 && e.index%200 == 0:
		return 300
	case at == 0:
		return 60 + r.IntN(120)
	case at == 5:
		return childPage
	case at == 6:
		return childPage + 1
	case at == 10:
		return 2 * childPage
	case at == 15:
		return 1
	}
	return few
}

// earlier moves a time of the fixture to up to two years before. All times of
// one object move alike, so that none is changed before it is made.
func (m *making) earlier(text string) string {
	at, _ := time.Parse(time.RFC3339, text) // it was read once already
	r := m.rng(m.kind.Name, "time", m.entry.index)
	by := time.Duration(r.IntN(700*24))*time.Hour + time.Duration(r.IntN(3600*1e7))*100
	return at.Add(-by).UTC().Format("2006-01-02T15:04:05.9999999Z")
}

// tags are scope tag ids: mostly Default alone.
func (m *maker) tags(r *rand.Rand) []string {
	n := m.counts["roleScopeTags"]
	if n < 2 || r.IntN(4) > 0 {
		return []string{"0"}
	}
	return []string{"0", strconv.Itoa(1 + r.IntN(n-1))}
}

const (
	allUsersID   = "acacacac-9df4-4c7d-9d50-4ef0226f57a9"
	allDevicesID = "adadadad-808e-44e2-905a-0b7873a8a531"
)

// assignments makes none to four rows like those of the kind's fixtures, each
// with a target of one of the four kinds. What Microsoft made has none.
func (m *maker) assignments(k *kind, e *entry) []json.RawMessage {
	var rows []template
	for _, f := range k.fixtures {
		rows = append(rows, f.parts[assignments]...)
	}
	out := []json.RawMessage{}
	if len(rows) == 0 || k.like(e.index).builtIn {
		return out
	}
	x := m.making(k, e, assignments)
	seen := map[string]bool{}
	for range x.chance.IntN(5) {
		x.target, x.key = m.aim(x.chance)
		if !seen[x.key] {
			seen[x.key] = true
			row := pick(x.chance, rows).make(x)
			out = append(out, rawjson.WithProperty(row, "id", rawjson.Encode(e.id+"_"+x.key)))
		}
	}
	return out
}

// aim makes the target of an assignment, and the key its row is known by.
func (m *maker) aim(r *rand.Rand) (target json.RawMessage, key string) {
	filter, filterType := any(nil), "none"
	if n := m.counts["assignmentFilters"]; n > 0 && r.IntN(3) == 0 {
		filter, filterType = m.id(kindNamed("assignmentFilters"), r.IntN(n)), pick(r, []string{"include", "exclude"})
	}
	typ, group := "groupAssignmentTarget", ""
	switch r.IntN(6) {
	case 0:
		typ, key = "allLicensedUsersAssignmentTarget", allUsersID
	case 1:
		typ, key = "allDevicesAssignmentTarget", allDevicesID
	case 2:
		typ, group = "exclusionGroupAssignmentTarget", m.groupID(r)
		filter, filterType = nil, "none"
	default:
		group = m.groupID(r)
	}
	pairs := []any{"@odata.type", graphNS + typ,
		"deviceAndAppManagementAssignmentFilterId", filter, "deviceAndAppManagementAssignmentFilterType", filterType}
	if group != "" {
		key = group
		pairs = append(pairs, "groupId", group)
	}
	return rawjson.Object(pairs...), key
}

func (m *maker) groupID(r *rand.Rand) string {
	return m.some(kindNamed(groups.Name), strconv.Itoa(r.IntN(maxGroups)))
}
