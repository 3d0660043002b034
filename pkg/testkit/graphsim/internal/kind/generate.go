package kind

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

// Maker makes the objects of a generated tenant out of seed, kind and index
// alone: nothing is stored, and the same object always has the same bytes. What
// it makes is like the kind's fixtures (see [compiler]).
type Maker struct {
	seed   uint64
	counts map[string]int
}

// NewMaker returns a maker of size policies, dealt out to the types, or of as many
// objects of each type as numbers says, if it is not nil.
func NewMaker(seed uint64, size int, numbers map[string]int) *Maker {
	if numbers == nil {
		numbers = counts(size)
	}
	return &Maker{seed: seed, counts: numbers}
}

// Ids returns the ids of all objects of a kind.
func (m *Maker) Ids(k *Kind) []string {
	if len(k.fixtures) == 0 {
		return nil
	}
	ids := make([]string, m.counts[k.Name])
	for i := range ids {
		ids[i] = m.id(k, i)
	}
	return ids
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
		out[Groups.Name] = min(12+size/5, maxGroups)
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
func (m *Maker) id(k *Kind, i int) string {
	if len(k.fixtures) == 0 {
		return GUID("no "+k.Name, strconv.Itoa(i))
	}
	like := k.like(i).id
	if _, err := strconv.Atoi(like); err == nil {
		return strconv.Itoa(i) // "0" is the built-in scope tag Default
	}
	own := GUID("generated", strconv.FormatUint(m.seed, 10), k.Name, strconv.Itoa(i))
	if around := guids.FindString(like); around != "" {
		return strings.Replace(like, around, own, 1)
	}
	return own
}

// some returns the id of one object of a kind, or an id that no object has if
// there are no objects of the kind. Equal parts give the same object.
func (m *Maker) some(k *Kind, parts ...string) string {
	n := m.counts[k.Name]
	r := m.rng(k.Name, strings.Join(parts, "\n"), 0)
	if n == 0 || len(k.fixtures) == 0 {
		return GUID("no "+k.Name, strconv.Itoa(r.IntN(20)))
	}
	return m.id(k, r.IntN(n))
}

// rng is the source of chance for one part of one object.
func (m *Maker) rng(kind, part string, i int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(kind + "\n" + part))
	return rand.New(rand.NewPCG(m.seed^h.Sum64(), uint64(i)*0x9e3779b97f4a7c15+1))
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (m *Maker) making(k *Kind, index int, part string) *making {
	return &making{Maker: m, kind: k, index: index, id: m.id(k, index), like: k.like(index), chance: m.rng(k.Name, part, index)}
}

// Body makes an object as an item shows it.
func (m *Maker) Body(k *Kind, index int) json.RawMessage {
	x := m.making(k, index, "body")
	return x.like.text.make(x)
}

// Nav makes the elements of a navigation property.
func (m *Maker) Nav(k *Kind, index int, name string) Sequence {
	n, _ := k.Nav(name)
	from := k.like(index).parts[name]
	switch {
	case name == Assignments:
		return SequenceOf(m.assignments(k, index))
	case !n.collection:
		return Sequence{Len: len(from), At: func(i int) json.RawMessage {
			x := m.making(k, index, name+strconv.Itoa(i))
			x.ordinal = i
			return from[i].make(x)
		}}
	case len(from) == 0:
		return Sequence{}
	}
	start := m.rng(k.Name, name, index).IntN(len(from))
	return Sequence{Len: m.length(k, index, n), At: func(i int) json.RawMessage {
		x := m.making(k, index, name+strconv.Itoa(i))
		x.ordinal, x.round = i, (start+i)/len(from)
		return from[(start+i)%len(from)].make(x)
	}}
}

// length is how many elements a collection of an object has: most a handful,
// some exactly at and just past a page, a few hundreds. Where every element has
// a collection of its own, which costs a request, none has hundreds.
func (m *Maker) length(k *Kind, index int, n Nav) int {
	if len(k.like(index).parts[n.Name]) == 0 {
		return 0
	}
	r := m.rng(k.Name, "length of "+n.Name, index)
	few := 1 + r.IntN(20)
	switch at := index % 20; {
	case len(n.Below) > 0 && index%5 == 0:
		return ChildPage + 1 + few/2
	case len(n.Below) > 0:
		return 1 + few/2
	case at == 0 && index%200 == 0:
		return 300
	case at == 0:
		return 60 + r.IntN(120)
	case at == 5:
		return ChildPage
	case at == 6:
		return ChildPage + 1
	case at == 10:
		return 2 * ChildPage
	case at == 15:
		return 1
	}
	return few
}

// earlier moves a time of the fixture to up to two years before. All times of
// one object move alike, so that none is changed before it is made.
func (m *making) earlier(text string) string {
	at, _ := time.Parse(time.RFC3339, text) // it was read once already
	r := m.rng(m.kind.Name, "time", m.index)
	by := time.Duration(r.IntN(700*24))*time.Hour + time.Duration(r.IntN(3600*1e7))*100
	return at.Add(-by).UTC().Format("2006-01-02T15:04:05.9999999Z")
}

// tags are scope tag ids: mostly Default alone.
func (m *Maker) tags(r *rand.Rand) []string {
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
func (m *Maker) assignments(k *Kind, index int) []json.RawMessage {
	var rows []template
	for _, f := range k.fixtures {
		rows = append(rows, f.parts[Assignments]...)
	}
	out := []json.RawMessage{}
	if len(rows) == 0 || k.like(index).builtIn {
		return out
	}
	x := m.making(k, index, Assignments)
	seen := map[string]bool{}
	for range x.chance.IntN(5) {
		x.target, x.key = m.aim(x.chance)
		if !seen[x.key] {
			seen[x.key] = true
			row := pick(x.chance, rows).make(x)
			out = append(out, rawjson.WithProperty(row, "id", rawjson.Encode(x.id+"_"+x.key)))
		}
	}
	return out
}

// aim makes the target of an assignment, and the key its row is known by.
func (m *Maker) aim(r *rand.Rand) (target json.RawMessage, key string) {
	filter, filterType := any(nil), "none"
	if n := m.counts["assignmentFilters"]; n > 0 && r.IntN(3) == 0 {
		filter, filterType = m.id(Named("assignmentFilters"), r.IntN(n)), pick(r, []string{"include", "exclude"})
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

func (m *Maker) groupID(r *rand.Rand) string {
	return m.some(Named(Groups.Name), strconv.Itoa(r.IntN(maxGroups)))
}
