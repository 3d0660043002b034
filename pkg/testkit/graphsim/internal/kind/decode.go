package kind

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// Export is a document out of a file: one object, or an array of elements that belong to
// one owner.
type Export struct {
	Raw     json.RawMessage   // the object
	Els     []json.RawMessage // or the elements
	context string            // @odata.context of the envelope
	Wrapped bool              // came out of an array
	More    bool              // whose next page is missing
}

// Unwrap turns a file's bytes into the documents it holds. What cannot be read
// has a reason.
func Unwrap(raw []byte) (docs []Export, reason string) {
	raw, reason = toUTF8(raw)
	if reason != "" {
		return nil, reason
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, "empty"
	}
	if reason := syntax(raw); reason != "" {
		return nil, reason
	}
	switch raw[0] {
	case '[':
		return spread(raw, "")
	case '{':
		if value := rawjson.Property(raw, "value"); len(value) > 0 && value[0] == '[' {
			docs, reason := spread(value, rawjson.Text(raw, "@odata.context"))
			for i := range docs {
				docs[i].More = rawjson.Property(raw, "@odata.nextLink") != nil
			}
			return docs, reason
		}
		return []Export{{Raw: raw}}, ""
	}
	return nil, "neither a JSON object nor an array"
}

// spread takes an array apart, unless it is one part of one policy.
func spread(raw []byte, context string) (docs []Export, reason string) {
	els, err := rawjson.Elements(raw)
	if err != nil {
		return nil, err.Error()
	}
	if len(els) == 0 || partShape(els[0]) != "" {
		return []Export{{Els: els, context: context, Wrapped: true}}, ""
	}
	for _, e := range els {
		docs = append(docs, Export{Raw: e, context: context, Wrapped: true})
	}
	return docs, ""
}

// syntax returns where the JSON is wrong, or "".
func syntax(raw []byte) string {
	var v json.RawMessage
	err := json.Unmarshal(raw, &v)
	if err == nil {
		return ""
	}
	bad, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return "not JSON: " + err.Error()
	}
	before := raw[:min(int(bad.Offset), len(raw))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Sprintf("not JSON: line %d, column %d: %s", line, column, bad)
}

// toUTF8 drops byte-order marks and transcodes UTF-16. No other byte changes.
func toUTF8(raw []byte) (out []byte, reason string) {
	switch {
	case bytes.HasPrefix(raw, []byte{0xef, 0xbb, 0xbf}):
		raw = raw[3:]
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		return fromUTF16(raw[2:], binary.LittleEndian)
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return fromUTF16(raw[2:], binary.BigEndian)
	}
	if utf8.Valid(raw) {
		return raw, ""
	}
	at := 0
	for rest := raw; ; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			return nil, fmt.Sprintf("not UTF-8 (byte 0x%02x at offset %d), and no byte-order mark says what it is", raw[at], at)
		}
		at += n
		rest = rest[n:]
	}
}

func fromUTF16(raw []byte, order binary.ByteOrder) (out []byte, reason string) {
	if len(raw)%2 != 0 {
		return nil, "UTF-16 with half a character at the end"
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = order.Uint16(raw[2*i:])
	}
	out = make([]byte, 0, len(units))
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if i+1 < len(units) {
				r = utf16.DecodeRune(r, rune(units[i+1]))
			}
			if i+1 == len(units) || r == utf8.RuneError {
				return nil, fmt.Sprintf("UTF-16 with half a surrogate pair at offset %d", 2*i+2)
			}
			i++
		}
		out = utf8.AppendRune(out, r)
	}
	return out, ""
}
