package graph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/graph/canonical"
	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/graph/internal/rawjson"
)

// firstParts counts the requests an object needs after the list.
func firstParts(t catalog.Type) int {
	n := len(t.Children)
	if t.ItemRead {
		n++
	}
	if t.Assignments == catalog.AssignmentsByPath {
		n++
	}
	return n
}

// assembly is an object whose parts are still being read.
type assembly struct {
	Object
	kind       catalog.Type
	properties map[string]json.RawMessage
	more       string // link to the rest of the expanded assignments
}

// part is one request an object still needs: the item itself, or the next page
// of a collection.
type part struct {
	of    *assembly
	link  string
	child *catalog.Child // nil: the item, or its assignments
	item  bool
	// Of the collection read so far:
	parent string
	count  int
	seen   map[string]bool // ids of elements with collections under them
	trail  trail
}

func newAssembly(t catalog.Type, raw json.RawMessage) *assembly {
	a := &assembly{kind: t}
	a.take(raw)
	return a
}

// take sets the object itself from raw.
func (a *assembly) take(raw json.RawMessage) {
	a.properties = maps.Collect(rawjson.Fields(raw))
	id := rawjson.Unquote(a.properties["id"])
	if id == "" {
		a.fail(incomplete("the object is null, or has no id"))
	}
	if a.ID != "" && a.ID != id {
		a.fail(incomplete("asked for one object, Graph sent another"))
	}
	a.Raw, a.ID = raw, id
	a.ODataType = rawjson.Unquote(a.properties["@odata.type"])
	a.Name = rawjson.Unquote(a.properties[a.kind.NameProperty])
	a.inline()
}

// inline takes over what the list expanded, and checks that it is complete: Graph
// cuts long expansions short and leaves a link to the rest.
func (a *assembly) inline() {
	cut := bytes.Count(a.Raw, []byte(`@odata.nextLink"`))
	if a.kind.Assignments == catalog.AssignmentsInline {
		assignments := a.properties["assignments"]
		if rawjson.Begins(assignments) != '[' {
			a.fail(incomplete("the expanded assignments are missing"))
		}
		a.Assignments = slices.Collect(rawjson.Elements(assignments))
		if a.more = rawjson.Unquote(a.properties["assignments@odata.nextLink"]); a.more != "" {
			cut--
		}
	}
	if cut > 0 {
		a.fail(incomplete("Graph cut an expanded collection short"))
	}
}

func (a *assembly) fail(err error) {
	if a.Err == nil {
		a.Err = err
	}
}

func incomplete(what string) *Error {
	return &Error{Class: ClassDependency, Code: CodeIncomplete, Message: what, retryable: true}
}

// first returns the requests that reading the object begins with.
func (a *assembly) first(pool *Pool) []*part {
	if a.Err != nil {
		return nil
	}
	var parts []*part
	item := itemPath(a.kind, a.ID)
	if a.kind.ItemRead {
		parts = append(parts, &part{of: a, item: true, link: item + query(a.kind.Expand)})
	}
	parts = append(parts, a.collections(item, "", a.kind.Children)...)
	if a.kind.Assignments == catalog.AssignmentsByPath {
		parts = append(parts, &part{of: a, link: item + "/assignments"})
	}
	if a.more != "" {
		parts = append(parts, &part{of: a, link: pool.local(a.more)})
	}
	return parts
}

func (a *assembly) collections(under, parent string, children []catalog.Child) []*part {
	parts := make([]*part, len(children))
	for i := range children {
		link := under + "/" + children[i].Name
		if children[i].Query != "" {
			link += "?" + children[i].Query
		}
		parts[i] = &part{of: a, link: link, child: &children[i], parent: parent, seen: make(map[string]bool)}
	}
	return parts
}

// listPath returns the path of the first request for a type.
func listPath(t catalog.Type) string { return "/" + t.Version + t.Path + query(t.Expand) }

// itemPath returns the path of one object. Ids are mostly GUIDs; other characters
// are escaped.
func itemPath(t catalog.Type, id string) string {
	return "/" + t.Version + t.Path + "/" + url.PathEscape(id)
}

func query(expand string) string {
	if expand == "" {
		return ""
	}
	return "?$expand=" + expand
}

// member returns the path of the part inside a batch of the given version, and
// false if it cannot be in such a batch: a link to another host, for example.
func (p *part) member(version string) (string, bool) {
	rest, ok := strings.CutPrefix(p.link, "/"+version+"/")
	return "/" + rest, ok
}

// accept takes over a response and returns the requests that follow from it.
func (p *part) accept(pool *Pool, answer BatchResponse) []*part {
	if answer.Err != nil {
		p.of.fail(answer.Err)
		return nil
	}
	if p.item {
		p.of.take(answer.Body)
		return nil
	}
	page, err := readPage(answer.Body)
	if err != nil {
		p.of.fail(err)
		return nil
	}
	next := p.add(page.value)
	if page.next == "" {
		return next
	}
	if err := p.trail.enter(p.link); err != nil {
		p.of.fail(err)
	}
	p.link = pool.local(page.next)
	return append(next, p)
}

// add appends elements to the collection, and returns the requests for the
// collections under them.
func (p *part) add(elements []json.RawMessage) []*part {
	if i := slices.IndexFunc(elements, func(e json.RawMessage) bool { return rawjson.Begins(e) != '{' }); i >= 0 {
		p.of.fail(incomplete("an element of the collection is no object"))
		return nil
	}
	if p.child == nil {
		p.of.Assignments = append(p.of.Assignments, elements...)
		return nil
	}
	var below []*part
	for _, raw := range elements {
		id := idOf(raw)
		p.of.Children = append(p.of.Children, canonical.Element{
			Collection: p.child.Name, ParentID: p.parent, Ordinal: p.count, ID: id, Raw: raw,
		})
		p.count++
		if len(p.child.Children) == 0 {
			continue
		}
		if id == "" || p.seen[id] {
			p.of.fail(incomplete("an element of " + p.child.Name + " has no id of its own"))
			return nil
		}
		p.seen[id] = true
		under := itemPath(p.of.kind, p.of.ID) + "/" + p.child.Name + "/" + url.PathEscape(id)
		below = append(below, p.of.collections(under, id, p.child.Children)...)
	}
	return below
}

func idOf(raw json.RawMessage) string {
	for key, value := range rawjson.Fields(raw) {
		if key == "id" {
			return rawjson.Unquote(value)
		}
	}
	return ""
}

// finish checks that nothing is missing and puts the children in order.
func (a *assembly) finish() {
	if a.Err == nil {
		a.check()
	}
	if a.Err != nil {
		a.Children, a.Assignments = nil, nil
		return
	}
	slices.SortStableFunc(a.Children, func(x, y canonical.Element) int {
		return cmp.Or(cmp.Compare(x.Collection, y.Collection), cmp.Compare(x.ParentID, y.ParentID), x.Ordinal-y.Ordinal)
	})
}

func (a *assembly) check() {
	for _, c := range a.kind.Children {
		a.checkCount(c, a.properties[c.CountProperty])
	}
	if string(a.properties[a.kind.BuiltIn]) == "true" {
		return
	}
	for _, name := range a.kind.Content {
		if v := a.properties[name]; len(v) == 0 || string(v) == "null" {
			a.fail(incomplete("the item lacks " + name))
		}
	}
}

// checkCount compares the length of a collection with the number that the object
// claims.
func (a *assembly) checkCount(c catalog.Child, claimed json.RawMessage) {
	var want int
	if c.CountProperty == "" || len(claimed) == 0 || json.Unmarshal(claimed, &want) != nil {
		return
	}
	got := 0
	for _, e := range a.Children {
		if e.Collection == c.Name {
			got++
		}
	}
	if got != want {
		a.fail(incomplete(fmt.Sprintf("%s is %d, but %d were read", c.CountProperty, want, got)))
	}
}
