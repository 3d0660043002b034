package graphsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// member is one property of a JSON object. Text and value are slices of the
// object's own bytes: cutting and composing never re-encodes a value.
type member struct {
	key        string
	text       []byte // from the key's quote to the value's end
	value      json.RawMessage
	start, end int // of text, in the object
}

// members takes an object apart into its top-level properties, in order.
func members(raw []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	var out []member
	for d.More() {
		start := int(d.InputOffset())
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("property %d: %w", len(out)+1, err)
		}
		start += bytes.IndexByte(raw[start:], '"')
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("property %q: %w", t, err)
		}
		end := int(d.InputOffset())
		out = append(out, member{key: t.(string), text: raw[start:end], value: raw[end-len(v) : end], start: start, end: end})
	}
	return out, nil
}

// elements takes an array apart; each element keeps its bytes.
func elements(raw []byte) ([]json.RawMessage, error) {
	var out []json.RawMessage
	err := json.Unmarshal(raw, &out)
	return out, err
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
func text(raw []byte, key string) string {
	var s string
	if json.Unmarshal(property(raw, key), &s) != nil {
		return ""
	}
	return s
}

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
	size := 2
	for _, e := range els {
		size += len(e) + 1
	}
	out := append(make([]byte, 0, size), '[')
	for i, e := range els {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, ']')
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

func quote(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return `"` + s + `"`
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
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
