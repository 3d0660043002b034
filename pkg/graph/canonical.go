package graph

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// NormaliserVersion names the rules of [Canonical]. Hashes of different
// versions say nothing about each other.
const NormaliserVersion = 1

// Canonical is the hash that decides whether two readings of an object are the
// same, for versions, drift and verification alike. The rules:
//
//   - Properties Graph keeps for itself (the type's ReadOnly and Masks,
//     [CommonReadOnly], every OData annotation but @odata.type) don't count.
//     Null, empty and absent are three different things.
//   - The order of keys doesn't count, nor that of the arrays in Sets; the order
//     of other arrays does. Of a key given twice the last counts.
//   - Strings count after unescaping, numbers by their exact decimal value: 1.50
//     is 1.5, and no digit is ever rounded.
//   - Elements of child collections and assignments are sets, whatever order
//     they were delivered in; an assignment's id and source don't count, and a
//     filter that is all zeros, or of type none, is no filter.
//   - Of the type's References only the id counts.
//
// Changing any of this needs a new [NormaliserVersion].
func Canonical(t Type, o Object) ([sha256.Size]byte, error) {
	var none [sha256.Size]byte
	if o.Err != nil {
		return none, fmt.Errorf("graph: object %s was not read completely: %w", o.ID, o.Err)
	}
	for raw := range o.parts() {
		if !json.Valid(raw) {
			return none, fmt.Errorf("graph: object %s or a part of it is not JSON", o.ID)
		}
	}
	return canonical(t, rulesOf(t), o), nil
}

// parts yields everything the object consists of.
func (o Object) parts() iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		if !yield(o.Raw) {
			return
		}
		for _, e := range o.Children {
			if !yield(e.Raw) {
				return
			}
		}
		for _, a := range o.Assignments {
			if !yield(a) {
				return
			}
		}
	}
}

// canonical is [Canonical] of an object that is known to be valid JSON throughout.
func canonical(t Type, r *rules, o Object) [sha256.Size]byte {
	n := &normaliser{encoder: encoder{rules: r}, elements: make(map[place][]Element)}
	for _, e := range o.Children {
		at := place{e.Collection, e.ParentID}
		n.elements[at] = append(n.elements[at], e)
	}
	size := 0
	for raw := range o.parts() {
		size += len(raw)
	}
	out := fmt.Appendf(make([]byte, 0, size+256), "canonical %d\n%s\n", NormaliserVersion, t.Name)
	out = n.encode(out, o.Raw, asObject)
	out = n.children(out, t.Children, "")
	return sha256.Sum256(n.assignments(out, o.Assignments))
}

type normaliser struct {
	encoder
	elements map[place][]Element
}

type place struct{ collection, parent string }

// children appends each collection under parent as a set, every element with
// the collections under it.
func (n *normaliser) children(out []byte, collections []Child, parent string) []byte {
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
		out = n.encode(out, plainAssignment(raw), asAnonymous)
		if !slices.ContainsFunc(rows, func(r span) bool { return bytes.Equal(out[r.from:r.to], out[from:]) }) {
			rows = append(rows, span{nil, from, len(out)}) // one target by two ways is one target
		}
	}
	return n.set(out, start, rows)
}

const (
	filterID   = "deviceAndAppManagementAssignmentFilterId"
	filterType = "deviceAndAppManagementAssignmentFilterType"
	noFilter   = "00000000-0000-0000-0000-000000000000"
)

// plainAssignment is raw without what names the row, and without a filter that is none.
func plainAssignment(raw json.RawMessage) json.RawMessage {
	a := maps.Collect(fields(raw))
	delete(a, "source")
	delete(a, "sourceId")
	if begins(a["target"]) == '{' {
		target := maps.Collect(fields(a["target"]))
		id := unquote(target[filterID]) // null and absent alike
		if id == "" || id == noFilter || strings.EqualFold(unquote(target[filterType]), "none") {
			delete(target, filterID)
			delete(target, filterType)
		}
		a["target"] = join(target)
	}
	return join(a)
}

// join is the object of the given members, in any order, for the encoder alone:
// keys are not escaped as they should be.
func join(members map[string]json.RawMessage) json.RawMessage {
	out := []byte{'{'}
	for key, value := range members {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendQuoted(out, []byte(key)), ':')
		out = append(out, value...)
	}
	return append(out, '}')
}
