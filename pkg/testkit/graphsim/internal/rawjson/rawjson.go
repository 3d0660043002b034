// Package rawjson reads and changes JSON objects without encoding them again: every
// byte that a change does not concern stays as it was.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Member is one property of a JSON object. Text and value are slices of the
// object's own bytes: cutting and composing never re-encodes a value.
type Member struct {
	Key        string
	text       []byte // from the key's quote to the value's end
	Value      json.RawMessage
	start, end int // of text, in the object
}

// decoder reads raw token by token. It takes what encoding/json takes: exports
// of real tenants hold keys twice and halves of characters.
func decoder(raw []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Members takes an object apart into its top-level properties, in order.
func Members(raw []byte) ([]Member, error) {
	d := decoder(raw)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	var out []Member
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("property %d: %w", len(out)+1, err)
		}
		start := int(d.InputOffset()) - len(name)
		key := Unquote(name)
		value, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("property %q: %w", key, err)
		}
		end := int(d.InputOffset())
		out = append(out, Member{Key: key, text: raw[start:end], Value: raw[end-len(value) : end], start: start, end: end})
	}
	return out, nil
}

// Unquote returns the string that text is, "" for any other value.
func Unquote(text []byte) string {
	out, err := jsontext.AppendUnquote(nil, text)
	if err != nil && len(out) == 0 {
		return ""
	}
	return string(out)
}

// Elements takes an array apart; each element keeps its bytes. For null it
// returns nil, for an empty array an empty slice that is not nil.
func Elements(raw []byte) ([]json.RawMessage, error) {
	d := decoder(raw)
	switch t, err := d.ReadToken(); {
	case err != nil || t.Kind() != '[' && t.Kind() != 'n':
		return nil, errors.Join(errors.New("not a JSON array"), err)
	case t.Kind() == 'n':
		return nil, nil
	}
	out := []json.RawMessage{}
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(out)+1, err)
		}
		end := int(d.InputOffset())
		out = append(out, raw[end-len(value):end])
	}
	return out, nil
}

// Property returns the value of a top-level property, or nil. Of two with the
// same name the last counts, as everywhere in encoding/json.
func Property(raw []byte, key string) json.RawMessage {
	ms, err := Members(raw)
	if err != nil {
		return nil
	}
	for _, m := range slices.Backward(ms) {
		if m.Key == key {
			return m.Value
		}
	}
	return nil
}

// Text returns a top-level string property, or "".
func Text(raw []byte, key string) string { return Unquote(Property(raw, key)) }

// Cut returns raw without the named properties. What stays keeps its bytes and
// the white space before it.
func Cut(raw json.RawMessage, keys ...string) json.RawMessage {
	if !mentions(raw, keys) {
		return raw
	}
	ms, err := Members(raw)
	if err != nil || !slices.ContainsFunc(ms, func(m Member) bool { return slices.Contains(keys, m.Key) }) {
		return raw
	}
	var out bytes.Buffer
	from := bytes.IndexByte(raw, '{') + 1
	out.Write(raw[:from])
	wrote := false
	for i, m := range ms {
		gap := raw[from:m.start]
		from = m.end
		if slices.Contains(keys, m.Key) {
			continue
		}
		if i > 0 {
			gap = bytes.TrimLeft(gap, " \t\r\n")
			gap = bytes.TrimPrefix(gap, []byte(","))
		}
		if wrote {
			out.WriteByte(',')
		}
		out.Write(gap)
		out.Write(m.text)
		wrote = true
	}
	out.Write(raw[from:])
	return out.Bytes()
}

// mentions reports cheaply whether any of keys can be a property of raw; a key may
// be spelt with escapes.
func mentions(raw []byte, keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool {
		return bytes.Contains(raw, []byte(`"`+k+`"`)) || bytes.Contains(raw, []byte(`\u`))
	})
}

// Keep returns an object of only the named properties and their annotations;
// @odata.type always stays, as it does in Graph.
func Keep(raw json.RawMessage, keys []string) json.RawMessage {
	ms, err := Members(raw)
	if err != nil {
		return raw
	}
	var kept [][]byte
	for _, m := range ms {
		base, _, _ := strings.Cut(m.Key, "@")
		if m.Key == "@odata.type" || slices.Contains(keys, base) {
			kept = append(kept, m.text)
		}
	}
	return slices.Concat([]byte("{"), bytes.Join(kept, []byte(",")), []byte("}"))
}

// Prepend puts members (already JSON text) before the properties of raw.
func Prepend(raw json.RawMessage, ms ...string) json.RawMessage {
	open := bytes.IndexByte(raw, '{') + 1
	rest := raw[open:]
	head := strings.Join(ms, ",")
	if !bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("}")) {
		head += ","
	}
	return slices.Concat(raw[:open], []byte(head), rest)
}

// WithProperty sets one top-level property: in place where there is one, else
// in front. All other bytes stay.
func WithProperty(raw json.RawMessage, key string, value json.RawMessage) json.RawMessage {
	ms, err := Members(raw)
	if err != nil {
		return raw
	}
	for _, m := range slices.Backward(ms) {
		if m.Key == key {
			return slices.Concat(raw[:m.end-len(m.Value)], value, raw[m.end:])
		}
	}
	return Prepend(raw, Quote(key)+":"+string(value))
}

// Array composes elements, untouched, into an array.
func Array(els []json.RawMessage) json.RawMessage {
	return slices.Concat([]byte("["), bytes.Join(slicesOf(els), []byte(",")), []byte("]"))
}

func slicesOf(els []json.RawMessage) [][]byte {
	out := make([][]byte, len(els))
	for i, e := range els {
		out[i] = e
	}
	return out
}

// Object composes ordered key/value pairs into JSON, as Graph writes it: no
// white space, no HTML escapes.
func Object(pairs ...any) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(Quote(pairs[i].(string)))
		b.WriteByte(':')
		b.Write(Encode(pairs[i+1]))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Encode returns v as JSON text, without HTML escapes. Raw JSON stays as it is.
func Encode(v any) []byte {
	switch v := v.(type) {
	case json.RawMessage:
		return v
	case []json.RawMessage:
		return Array(v)
	case string:
		return []byte(Quote(v))
	case int:
		return strconv.AppendInt(nil, int64(v), 10)
	case bool:
		return strconv.AppendBool(nil, v)
	case nil:
		return []byte("null")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // only our own literals come here
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// Quote writes s as JSON. Bytes that are not UTF-8 become U+FFFD.
func Quote(s string) string {
	out, _ := jsontext.AppendQuote(nil, s) // its only error is what it has just replaced
	return string(out)
}

// AppendMember puts a property behind all others; raw must be an object with
// nothing after its closing brace.
func AppendMember(raw json.RawMessage, key string, value json.RawMessage) json.RawMessage {
	end := bytes.LastIndexByte(raw, '}')
	head := bytes.TrimRight(raw[:end], " \t\r\n")
	sep := ","
	if bytes.HasSuffix(head, []byte("{")) {
		sep = ""
	}
	return slices.Concat(raw[:end], []byte(sep+Quote(key)+":"), value, raw[end:])
}

// Value is a value somewhere within a JSON text.
type Value struct {
	Raw        []byte
	Key        string // of the property it is, or is an element of
	Depth      int    // 1: of the outermost object
	InList     bool   // the object it belongs to is the outermost, or an element of a list
	Start, End int
}

// Values yields every value within raw, an object or list before what is in it.
func Values(raw []byte) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		d := decoder(raw)
		keys := []string{""} // of every container that is open
		for {
			switch kind := d.PeekKind(); {
			case kind == 0:
				return
			case kind == '}' || kind == ']':
				_, _ = d.ReadToken()
				keys = keys[:len(keys)-1]
				continue
			case atName(d):
				name, _ := d.ReadValue()
				keys[len(keys)-1] = Unquote(name)
				continue
			}
			v, container := next(d, raw, keys[len(keys)-1])
			if container {
				keys = append(keys, v.Key)
			}
			if v.Depth > 0 && !yield(v) {
				return
			}
		}
	}
}

// atName reports whether what d reads next is the name of a property.
func atName(d *jsontext.Decoder) bool {
	kind, n := d.StackIndex(d.StackDepth())
	return kind == '{' && n%2 == 0
}

// next reads one value, of a container only its beginning.
func next(d *jsontext.Decoder, raw []byte, key string) (v Value, container bool) {
	v = Value{Key: key, Depth: d.StackDepth(), InList: d.StackDepth() == 1}
	if v.Depth > 1 {
		above, _ := d.StackIndex(v.Depth - 1)
		v.InList = above == '['
	}
	switch d.PeekKind() {
	case '{', '[':
		_, _ = d.ReadToken()
		v.Start, container = int(d.InputOffset())-1, true
		v.Raw, _ = decoder(raw[v.Start:]).ReadValue()
		v.End = v.Start + len(v.Raw)
	default:
		text, _ := d.ReadValue()
		v.End = int(d.InputOffset())
		v.Start = v.End - len(text)
	}
	v.Raw = raw[v.Start:v.End]
	return v, container
}
