// Package kind knows the types of objects that the simulator serves. From an entry of
// the catalog and a folder of fixtures it derives how an object is laid out, makes any
// number of objects like the fixtures, and recognises an object in an exported file.
package kind

import (
	"slices"
	"strings"
	"sync"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// Kind is one collection of the simulated Graph. Everything about it follows
// from its entry in [catalog.Types] and its folder of fixtures.
type Kind struct {
	catalog.Type
	Collection string // below the version, without a leading slash
	Entra      bool   // errors come from the directory, not from Intune
	ListCuts   []string
	Navs       []Nav
	fixtures   []*fixture
}

// Nav is a navigation property. It has a path of its own below the item; the item
// contains it only if $expand says so.
type Nav struct {
	Name       string
	Count      string   // property of the object that says how many elements there are
	Cuts       []string // what its elements show only under a nested $expand
	Below      []Nav    // collections under each element; they are among cuts
	marks      []string // properties that tell an element
	collection bool     // one of the entry's Children: the generator makes it as long as it likes
}

// childPage is how many elements Intune puts on one page of a child
// collection; most lost settings in the wild were lost behind it.
const ChildPage = 25

const ListPage = 100

const Assignments = "assignments"

// groups are not policies and so not in the catalog, but policies refer to them.
var Groups = catalog.Type{
	Name: "groups", Entity: "group", Version: "beta", V1: true, Path: "/groups",
	NameProperty: "displayName", Workload: catalog.WorkloadIdentity,
	Marks: [][]string{{"securityEnabled", "mailEnabled"}},
}

// All returns those of the catalog, in its order, and groups.
var All = sync.OnceValue(func() []*Kind {
	var all []*Kind
	for _, t := range append(catalog.Types(), Groups) {
		all = append(all, newKind(t))
	}
	readFixtures(all)
	return all
})

func newKind(t catalog.Type) *Kind {
	return &Kind{
		Type: t, Collection: strings.TrimPrefix(t.Path, "/"),
		Entra:    t.Workload == catalog.WorkloadConditionalAccess || t.Workload == catalog.WorkloadIdentity,
		ListCuts: slices.Concat(t.Content, t.ItemOnly),
		Navs:     navsOf(t),
	}
}

// navsOf collects what the entry reads from elsewhere (Children, Expand,
// Assignments) and what it knows of and does not read (Unread).
func navsOf(t catalog.Type) []Nav {
	navs := collections(t.Children)
	for _, x := range expansions(t.Expand) {
		if x.Name != Assignments {
			navs = append(navs, Nav{Name: x.Name, Cuts: namesOf(x.Expand), marks: namesOf(x.Expand)})
		}
	}
	if t.Assignments != catalog.NoAssignments {
		navs = append(navs, Nav{Name: Assignments})
	}
	for _, name := range t.Unread {
		navs = append(navs, Nav{Name: name})
	}
	return navs
}

func collections(children []catalog.Child) []Nav {
	var navs []Nav
	for _, c := range children {
		n := Nav{Name: c.Name, Count: c.CountProperty, marks: c.Marks, Below: collections(c.Children), collection: true}
		n.Cuts = append(namesOf(expansions(strings.TrimPrefix(c.Query, "$expand="))), c.Unread...)
		for _, b := range n.Below {
			n.Cuts = append(n.Cuts, b.Name)
		}
		navs = append(navs, n)
	}
	return navs
}

// expansions reads what an entry expands; a test holds every entry to be readable.
func expansions(expand string) []Expansion {
	if expand == "" {
		return nil
	}
	out, _ := ParseExpand(expand)
	return out
}

func namesOf(list []Expansion) (names []string) {
	for _, x := range list {
		names = append(names, x.Name)
	}
	return names
}

// Named returns the kind of a name, or nil.
func Named(name string) *Kind {
	for _, k := range All() {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// At returns the kind whose collection a path is in (the path begins below
// the version, without a slash), and the rest of the path.
func At(path string) (k *Kind, rest string) {
	for _, k := range All() {
		if path == k.Collection {
			return k, ""
		}
		if rest, ok := strings.CutPrefix(path, k.Collection+"/"); ok {
			return k, rest
		}
	}
	return nil, ""
}

// Nav finds a navigation property by name.
func (k *Kind) Nav(name string) (Nav, bool) { return NavNamed(k.Navs, name) }

func NavNamed(navs []Nav, name string) (Nav, bool) {
	i := slices.IndexFunc(navs, func(n Nav) bool { return n.Name == name })
	if i < 0 {
		return Nav{}, false
	}
	return navs[i], true
}
