package graphsim

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

// member is one property of a JSON object. Text and value are slices of the
// object's own bytes: cutting and composing never re-encodes a value.
type member struct {
	key        string
	text       []byte // from the key's quote to the value's end
	value      json.RawMessage
	start, end int // of text, in the object
}

// decoder reads raw token by token. It takes what encoding/json takes: exports
// of real tenants hold keys twice and halves of characters.
func decoder(raw []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// members takes an object apart into its top-level properties, in order.
func members(raw []byte) ([]member, error) {
	d := decoder(raw)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	var out []member
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("property %d: %w", len(out)+1, err)
		}
		start := int(d.InputOffset()) - len(name)
		key := unquote(name)
		value, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("property %q: %w", key, err)
		}
		end := int(d.InputOffset())
		out = append(out, member{key: key, text: raw[start:end], value: raw[end-len(value) : end], start: start, end: end})
	}
	return out, nil
}

// unquote returns the string that text is, "" for any other value.
func unquote(text []byte) string {
	out, err := jsontext.AppendUnquote(nil, text)
	if err != nil && len(out) == 0 {
		return ""
	}
	return string(out)
}

// elements takes an array apart; each element keeps its bytes. Of null it
// returns nil, of an empty array what is not nil.
func elements(raw []byte) ([]json.RawMessage, error) {
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

// property returns the value of a top-level property, or nil. Of two with the
// same name the last counts, as everywhere in encoding/json.
func property(raw []byte, key string) json.RawMessage {
	ms, err := members(raw)
	if err != nil {
		return nil
	}
	for _, m := range slices.Backward(ms) {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// text returns a top-level string property, or "".
func text(raw []byte, key string) string { return unquote(property(raw, key)) }

// cut returns raw without the named properties. What stays keeps its bytes and
// the white space before it.
func cut(raw json.RawMessage, keys ...string) json.RawMessage {
	if !mentions(raw, keys) {
		return raw
	}
	ms, err := members(raw)
	if err != nil || !slices.ContainsFunc(ms, func(m member) bool { return slices.Contains(keys, m.key) }) {
		return raw
	}
	var out bytes.Buffer
	from := bytes.IndexByte(raw, '{') + 1
	out.Write(raw[:from])
	wrote := false
	for i, m := range ms {
		gap := raw[from:m.start]
		from = m.end
		if slices.Contains(keys, m.key) {
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

// mentions says cheaply whether any of keys can be a property of raw; a key may
// be spelt with escapes.
func mentions(raw []byte, keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool {
		return bytes.Contains(raw, []byte(`"`+k+`"`)) || bytes.Contains(raw, []byte(`\u`))
	})
}

// keep returns an object of only the named properties and their annotations;
// @odata.type always stays, as it does in Graph.
func keep(raw json.RawMessage, keys []string) json.RawMessage {
	ms, err := members(raw)
	if err != nil {
		return raw
	}
	var kept [][]byte
	for _, m := range ms {
		base, _, _ := strings.Cut(m.key, "@")
		if m.key == "@odata.type" || slices.Contains(keys, base) {
			kept = append(kept, m.text)
		}
	}
	return slices.Concat([]byte("{"), bytes.Join(kept, []byte(",")), []byte("}"))
}

// prepend puts members (already JSON text) before the properties of raw.
func prepend(raw json.RawMessage, ms ...string) json.RawMessage {
	open := bytes.IndexByte(raw, '{') + 1
	rest := raw[open:]
	head := strings.Join(ms, ",")
	if !bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("}")) {
		head += ","
	}
	return slices.Concat(raw[:open], []byte(head), rest)
}

// withProperty sets one top-level property: in place where there is one, else
// in front. All other bytes stay.
func withProperty(raw json.RawMessage, key string, value json.RawMessage) json.RawMessage {
	ms, err := members(raw)
	if err != nil {
		return raw
	}
	for _, m := range slices.Backward(ms) {
		if m.key == key {
			return slices.Concat(raw[:m.end-len(m.value)], value, raw[m.end:])
		}
	}
	return prepend(raw, quote(key)+":"+string(value))
}

// array composes elements, untouched, into an array.
func array(els []json.RawMessage) json.RawMessage {
	return slices.Concat([]byte("["), bytes.Join(slicesOf(els), []byte(",")), []byte("]"))
}

func slicesOf(els []json.RawMessage) [][]byte {
	out := make([][]byte, len(els))
	for i, e := range els {
		out[i] = e
	}
	return out
}

// object composes ordered key/value pairs into JSON, as Graph writes it: no
// white space, no HTML escapes.
func object(pairs ...any) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(pairs[i].(string)))
		b.WriteByte(':')
		b.Write(encode(pairs[i+1]))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func encode(v any) []byte {
	switch v := v.(type) {
	case json.RawMessage:
		return v
	case []json.RawMessage:
		return array(v)
	case string:
		return []byte(quote(v))
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

// quote writes s as JSON. Bytes that are not UTF-8 become U+FFFD.
func quote(s string) string {
	out, _ := jsontext.AppendQuote(nil, s) // its only error is what it has just replaced
	return string(out)
}

// appendMember puts a property behind all others; raw must be an object with
// nothing after its closing brace.
func appendMember(raw json.RawMessage, key string, value json.RawMessage) json.RawMessage {
	end := bytes.LastIndexByte(raw, '}')
	head := bytes.TrimRight(raw[:end], " \t\r\n")
	sep := ","
	if bytes.HasSuffix(head, []byte("{")) {
		sep = ""
	}
	return slices.Concat(raw[:end], []byte(sep+quote(key)+":"), value, raw[end:])
}

// value is a value somewhere within a JSON text.
type value struct {
	raw        []byte
	key        string // of the property it is, or is an element of
	depth      int    // 1: of the outermost object
	inList     bool   // the object it belongs to is the outermost, or an element of a list
	start, end int
}

// values yields every value within raw, an object or list before what is in it.
func values(raw []byte) iter.Seq[value] {
	return func(yield func(value) bool) {
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
				keys[len(keys)-1] = unquote(name)
				continue
			}
			v, container := next(d, raw, keys[len(keys)-1])
			if container {
				keys = append(keys, v.key)
			}
			if v.depth > 0 && !yield(v) {
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
func next(d *jsontext.Decoder, raw []byte, key string) (v value, container bool) {
	v = value{key: key, depth: d.StackDepth(), inList: d.StackDepth() == 1}
	if v.depth > 1 {
		above, _ := d.StackIndex(v.depth - 1)
		v.inList = above == '['
	}
	switch d.PeekKind() {
	case '{', '[':
		_, _ = d.ReadToken()
		v.start, container = int(d.InputOffset())-1, true
		v.raw, _ = decoder(raw[v.start:]).ReadValue()
		v.end = v.start + len(v.raw)
	default:
		text, _ := d.ReadValue()
		v.end = int(d.InputOffset())
		v.start = v.end - len(text)
	}
	v.raw = raw[v.start:v.end]
	return v, container
}
