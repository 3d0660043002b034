package canonical

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/graph/internal/rawjson"
)

// rules are those of one type, as sets.
type rules struct {
	readOnly   map[string]bool // of the object itself
	common     map[string]bool // of elements
	masks      map[string]bool
	references map[string]bool
	sets       map[string]bool
}

func rulesOf(t catalog.Type) *rules {
	r := &rules{
		readOnly: setOf(t.ReadOnly, catalog.CommonReadOnly()), common: setOf(catalog.CommonReadOnly()),
		masks: setOf(t.Masks), references: setOf(t.References), sets: setOf(t.Sets),
	}
	if t.Assignments == catalog.AssignmentsInline {
		r.readOnly["assignments"] = true // they count as assignments
	}
	return r
}

func setOf(lists ...[]string) map[string]bool {
	set := make(map[string]bool)
	for _, l := range lists {
		for _, name := range l {
			set[name] = true
		}
	}
	return set
}

// as says what a value is within its object.
type as int

const (
	asValue     as = iota
	asObject       // the object itself
	asNumbered     // an element whose id counts
	asAnonymous    // an element or assignment whose id does not
	asSet
	asReference
)

// encoder writes JSON in a form in which equal values are equal bytes. It is
// meant for hashing, not for reading: in strings only quotes and backslashes are
// escaped, and 1.50 is 15e-1.
type encoder struct {
	rawjson.Scanner
	rules *rules
	spans []span // of the containers being written, innermost last
	spare []byte

	failed error // of any text encoded so far
}

// span is a finished member or item: where it begins and ends in the output.
type span struct {
	key      []byte
	from, to int
}

// encode appends raw's canonical form, and notes in failed if raw is not JSON.
func (e *encoder) encode(dst []byte, raw json.RawMessage, role as) []byte {
	e.Reset(raw)
	dst = e.next(dst, role)
	if err := e.Finish(); err != nil {
		e.failed = err
	}
	return dst
}

// next appends the next value of the input, or nothing if there is no value.
func (e *encoder) next(dst []byte, role as) []byte {
	switch e.Kind() {
	case '{':
		return e.object(dst, role)
	case '[':
		return e.array(dst, role)
	}
	switch v := e.Value(); rawjson.Begins(v) {
	case 0:
		return dst
	case '"':
		return appendQuoted(dst, rawjson.Unescaped(v))
	default:
		return appendScalar(dst, v)
	}
}

func (e *encoder) object(dst []byte, role as) []byte {
	start, base := len(dst), len(e.spans)
	for e.Enter('{'); e.More('}'); {
		name := e.Value()
		if e.Err() != nil {
			break
		}
		key := rawjson.Unescaped(name)
		from := len(dst)
		dst = e.next(dst, e.within(string(key)))
		if e.drop(string(key), role) {
			dst = dst[:from]
			continue
		}
		e.spans = append(e.spans, span{key, from, len(dst)})
	}
	members := e.spans[base:]
	slices.SortStableFunc(members, func(a, b span) int { return bytes.Compare(a.key, b.key) })
	dst = e.rewrite(dst, start, lastOfEach(members), '{')
	e.spans = e.spans[:base]
	return append(dst, '}')
}

func (e *encoder) array(dst []byte, role as) []byte {
	inner := asValue
	if role == asReference {
		inner = asReference
	}
	start, base := len(dst), len(e.spans)
	for e.Enter('['); e.More(']'); {
		from := len(dst)
		dst = e.next(dst, inner)
		e.spans = append(e.spans, span{nil, from, len(dst)})
	}
	if items := e.spans[base:]; role == asSet || role == asReference {
		dst = e.set(dst, start, items)
	} else {
		dst = append(e.rewrite(dst, start, items, '['), ']')
	}
	e.spans = e.spans[:base]
	return dst
}

// set turns what was written since start into an array whose items are in the
// order of their bytes.
func (e *encoder) set(dst []byte, start int, items []span) []byte {
	slices.SortFunc(items, func(a, b span) int {
		return bytes.Compare(dst[a.from:a.to], dst[b.from:b.to])
	})
	return append(e.rewrite(dst, start, items, '['), ']')
}

// rewrite puts what was written since start in the order of spans.
func (e *encoder) rewrite(dst []byte, start int, spans []span, open byte) []byte {
	e.spare = append(e.spare[:0], dst[start:]...)
	dst = append(dst[:start], open)
	for i, s := range spans {
		if i > 0 {
			dst = append(dst, ',')
		}
		if s.key != nil {
			dst = append(appendQuoted(dst, s.key), ':')
		}
		dst = append(dst, e.spare[s.from-start:s.to-start]...)
	}
	return dst
}

// lastOfEach keeps the last of members with the same key.
func lastOfEach(members []span) []span {
	kept := members[:0]
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.key, members[i+1].key) {
			continue
		}
		kept = append(kept, m)
	}
	return kept
}

// within returns what the value of a member is.
func (e *encoder) within(key string) as {
	switch {
	case e.rules.references[key]:
		return asReference
	case e.rules.sets[key]:
		return asSet
	default:
		return asValue
	}
}

// drop reports whether a member does not count.
func (e *encoder) drop(key string, role as) bool {
	if strings.Contains(key, "@odata.") && key != "@odata.type" ||
		strings.HasPrefix(key, "#microsoft.graph.") || e.rules.masks[key] {
		return true
	}
	switch role {
	case asObject:
		return e.rules.readOnly[key]
	case asAnonymous:
		return e.rules.common[key]
	case asNumbered:
		return key != "id" && e.rules.common[key]
	case asReference:
		return key != "id"
	default:
		return false
	}
}

func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for {
		i := bytes.IndexAny(text, `"\`)
		if i < 0 {
			return append(append(dst, text...), '"')
		}
		dst = append(append(dst, text[:i]...), '\\', text[i])
		text = text[i+1:]
	}
}

// appendScalar appends true, false and null as they are, and a number as its
// digits, without zeros at either end, and a power of ten.
func appendScalar(dst, text []byte) []byte {
	if c := text[0]; c != '-' && (c < '0' || c > '9') {
		return append(dst, text...)
	}
	digits, negative := bytes.CutPrefix(text, []byte("-"))
	power := 0
	if i := bytes.IndexAny(digits, "eE"); i >= 0 {
		n, err := strconv.Atoi(string(digits[i+1:]))
		if err != nil || n > 1<<30 || n < -1<<30 {
			return append(dst, text...) // beyond reckoning: only the same text is surely the same
		}
		digits, power = digits[:i], n
	}
	if whole, fraction, ok := bytes.Cut(digits, []byte(".")); ok {
		digits, power = slices.Concat(whole, fraction), power-len(fraction)
	}
	digits = bytes.TrimLeft(digits, "0")
	short := bytes.TrimRight(digits, "0")
	if len(short) == 0 {
		return append(dst, '0')
	}
	if negative {
		dst = append(dst, '-')
	}
	dst = append(append(dst, short...), 'e')
	return strconv.AppendInt(dst, int64(power+len(digits)-len(short)), 10)
}
