// Package canonical hashes objects in a form that does not depend on how Graph
// happens to write them. It reads the rules of a type from the type's entry in
// package catalog, and speaks to nobody.
package canonical

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/graph/internal/rawjson"
)

// Version names the rules of [Hasher.Hash]. Hashes of different versions say
// nothing about each other.
const Version = 1

// Element is one element of a collection under an object.
type Element struct {
	Collection string
	ParentID   string // "" directly under the object
	Ordinal    int    // its place among its siblings as delivered
	ID         string // "" if Graph gave none
	Raw        json.RawMessage
}

// Hasher hashes objects of one type. Safe for concurrent use.
type Hasher struct {
	of    catalog.Type
	rules *rules
}

// NewHasher returns the hasher of a type.
func NewHasher(t catalog.Type) *Hasher { return &Hasher{of: t, rules: rulesOf(t)} }

// Hash decides whether two readings of an object are the same, for versions,
// drift and verification alike. It takes the object, its children and its
// assignments, and returns an error if one of them is not JSON. The rules:
//
//   - Properties Graph keeps for itself (the type's ReadOnly and Masks,
//     [catalog.CommonReadOnly], every OData annotation but @odata.type) don't
//     count. Null, empty and absent are three different things.
//   - The order of keys doesn't count, nor that of the arrays in Sets; the order
//     of other arrays does. Of a key given twice the last counts.
//   - Strings count after unescaping, numbers by their exact decimal value: 1.50
//     is 1.5, and no digit is ever rounded.
//   - Elements of child collections and assignments are sets, whatever order
//     they were delivered in; an assignment's id and source don't count, and a
//     filter that is all zeros, or of type none, is no filter.
//   - Of the type's References only the id counts.
//
// Changing any of this needs a new [Version].
func (h *Hasher) Hash(object json.RawMessage, children []Element, assignments []json.RawMessage) (hash [sha256.Size]byte, err error) {
	n := &normaliser{encoder: encoder{rules: h.rules}, elements: make(map[place][]Element)}
	size := len(object)
	for _, e := range children {
		at := place{e.Collection, e.ParentID}
		n.elements[at] = append(n.elements[at], e)
		size += len(e.Raw)
	}
	out := fmt.Appendf(make([]byte, 0, size+256), "canonical %d\n%s\n", Version, h.of.Name)
	out = n.encode(out, object, asObject)
	out = n.children(out, h.of.Children, "")
	out = n.assignments(out, assignments)
	if n.failed != nil {
		return hash, fmt.Errorf("canonical: the object or a part of it is not JSON: %w", n.failed)
	}
	return sha256.Sum256(out), nil
}

type normaliser struct {
	encoder
	elements map[place][]Element
}

type place struct{ collection, parent string }

// children appends each collection under parent as a set, every element with
// the collections under it.
func (n *normaliser) children(out []byte, collections []catalog.Child, parent string) []byte {
	for _, c := range collections {
		as := asNumbered
		if c.DropID {
			as = asAnonymous
		}
		out = append(out, c.Name...)
		start, base := len(out), len(n.spans)
		for _, e := range n.elements[place{c.Name, parent}] {
			from := len(out)
			out = n.encode(out, e.Raw, as)
			out = n.children(out, c.Children, e.ID)
			n.spans = append(n.spans, span{nil, from, len(out)})
		}
		out = n.set(out, start, n.spans[base:])
		n.spans = n.spans[:base]
	}
	return out
}

func (n *normaliser) assignments(out []byte, assignments []json.RawMessage) []byte {
	out = append(out, "assignments"...)
	start := len(out)
	var rows []span
	for _, raw := range assignments {
		from := len(out)
		if !json.Valid(raw) {
			n.failed = errNotJSON
			break
		}
		out = n.encode(out, plainAssignment(raw), asAnonymous)
		if !slices.ContainsFunc(rows, func(r span) bool { return bytes.Equal(out[r.from:r.to], out[from:]) }) {
			rows = append(rows, span{nil, from, len(out)}) // one target by two ways is one target
		}
	}
	return n.set(out, start, rows)
}

var errNotJSON = errors.New("an assignment is not")

const (
	filterID   = "deviceAndAppManagementAssignmentFilterId"
	filterType = "deviceAndAppManagementAssignmentFilterType"
	noFilter   = "00000000-0000-0000-0000-000000000000"
)

// plainAssignment returns raw without the properties that only name the row, and
// without a filter that filters nothing.
func plainAssignment(raw json.RawMessage) json.RawMessage {
	row := byName(raw)
	delete(row, "source")
	delete(row, "sourceId")
	if to := row["target"]; rawjson.Begins(to.value) == '{' {
		target := byName(to.value)
		id := rawjson.Unquote(target[filterID].value) // "" if null or absent
		if id == "" || id == noFilter || strings.EqualFold(rawjson.Unquote(target[filterType].value), "none") {
			delete(target, filterID)
			delete(target, filterType)
		}
		row["target"] = written{to.name, join(target)}
	}
	return join(row)
}

// written is a member of an object, as it is written.
type written struct{ name, value json.RawMessage }

// byName returns the members of an object. If a name occurs twice, the last
// member counts.
func byName(raw json.RawMessage) map[string]written {
	all := make(map[string]written)
	for name, value := range rawjson.Members(raw) {
		all[string(rawjson.Unescaped(name))] = written{name, value}
	}
	return all
}

// join returns the object of the given members. Their order does not matter to
// the encoder.
func join(members map[string]written) json.RawMessage {
	out := []byte{'{'}
	for _, m := range members {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, m.name...), ':'), m.value...)
	}
	return append(out, '}')
}
