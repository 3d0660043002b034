package graphsim

import (
	"slices"
	"strings"
	"sync"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// kind is one collection of the simulated Graph. Everything about it follows
// from its entry in [catalog.Types] and its folder of fixtures.
type kind struct {
	catalog.Type
	path     string // below the version, without a leading slash
	entra    bool   // errors come from the directory, not from Intune
	listCuts []string
	navs     []nav
	fixtures []*fixture
}

// nav is a navigation property. It has a path of its own below the item; the item
// contains it only if $expand says so.
type nav struct {
	name       string
	count      string   // property of the object that says how many elements there are
	cuts       []string // what its elements show only under a nested $expand
	below      []nav    // collections under each element; they are among cuts
	marks      []string // properties that tell an element
	collection bool     // one of the entry's Children: the generator makes it as long as it likes
}

// childPage is how many elements Intune puts on one page of a child
// collection; most lost settings in the wild were lost behind it.
const childPage = 25

const listPage = 100

const assignments = "assignments"

// groups are not policies and so not in the catalog, but policies refer to them.
var groups = catalog.Type{
	Name: "groups", Entity: "group", Version: "beta", V1: true, Path: "/groups",
	NameProperty: "displayName", Workload: catalog.WorkloadIdentity,
	Marks: [][]string{{"securityEnabled", "mailEnabled"}},
}

// kinds returns those of the catalog, in its order, and groups.
var kinds = sync.OnceValue(func() []*kind {
	var all []*kind
	for _, t := range append(catalog.Types(), groups) {
		all = append(all, newKind(t))
	}
	readFixtures(all)
	return all
})

func newKind(t catalog.Type) *kind {
	return &kind{
		Type: t, path: strings.TrimPrefix(t.Path, "/"),
		entra:    t.Workload == catalog.WorkloadConditionalAccess || t.Workload == catalog.WorkloadIdentity,
		listCuts: slices.Concat(t.Content, t.ItemOnly),
		navs:     navsOf(t),
	}
}

// navsOf collects what the entry reads from elsewhere (Children, Expand,
// Assignments) and what it knows of and does not read (Unread).
func navsOf(t catalog.Type) []nav {
	navs := collections(t.Children)
	for _, x := range expansions(t.Expand) {
		if x.name != assignments {
			navs = append(navs, nav{name: x.name, cuts: namesOf(x.expand), marks: namesOf(x.expand)})
		}
	}
	if t.Assignments != catalog.NoAssignments {
		navs = append(navs, nav{name: assignments})
	}
	for _, name := range t.Unread {
		navs = append(navs, nav{name: name})
	}
	return navs
}

func collections(children []catalog.Child) []nav {
	var navs []nav
	for _, c := range children {
		n := nav{name: c.Name, count: c.CountProperty, marks: c.Marks, below: collections(c.Children), collection: true}
		n.cuts = append(namesOf(expansions(strings.TrimPrefix(c.Query, "$expand="))), c.Unread...)
		for _, b := range n.below {
			n.cuts = append(n.cuts, b.name)
		}
		navs = append(navs, n)
	}
	return navs
}

// expansions reads what an entry expands; a test holds every entry to be readable.
func expansions(expand string) []expansion {
	if expand == "" {
		return nil
	}
	out, _ := parseExpand(expand)
	return out
}

func namesOf(list []expansion) (names []string) {
	for _, x := range list {
		names = append(names, x.name)
	}
	return names
}

// kindNamed returns the kind of a name, or nil.
func kindNamed(name string) *kind {
	for _, k := range kinds() {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// kindAt returns the kind whose collection a path is in (the path begins below
// the version, without a slash), and the rest of the path.
func kindAt(path string) (k *kind, rest string) {
	for _, k := range kinds() {
		if path == k.path {
			return k, ""
		}
		if rest, ok := strings.CutPrefix(path, k.path+"/"); ok {
			return k, rest
		}
	}
	return nil, ""
}

// nav finds a navigation property by name.
func (k *kind) nav(name string) (nav, bool) { return navNamed(k.navs, name) }

func navNamed(navs []nav, name string) (nav, bool) {
	i := slices.IndexFunc(navs, func(n nav) bool { return n.name == name })
	if i < 0 {
		return nav{}, false
	}
	return navs[i], true
}
