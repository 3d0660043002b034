package api

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// Contexts are encoded and decoded by hand. With encoding/json, which goes by way of maps,
// they took a sixth of the service's CPU time.

// appendObject appends s to b as encoding/json encodes the same map: keys sorted, no
// spaces. The numbers of s must be finite.
func appendObject(b []byte, s *structpb.Struct) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendValue(b, s.Fields[key])
	}
	return append(b, '}')
}

func appendValue(b []byte, v *structpb.Value) []byte {
	switch v := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return appendString(b, v.StringValue)
	case *structpb.Value_NumberValue:
		return appendNumber(b, v.NumberValue)
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(b, v.BoolValue)
	case *structpb.Value_StructValue:
		return appendObject(b, v.StructValue)
	case *structpb.Value_ListValue:
		b = append(b, '[')
		for i, value := range v.ListValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, value)
		}
		return append(b, ']')
	default:
		return append(b, "null"...)
	}
}

func appendString(b []byte, s string) []byte {
	special := func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) }
	if strings.ContainsFunc(s, special) {
		return appendJSON(b, s)
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendNumber(b []byte, n float64) []byte {
	if whole := int64(n); float64(whole) == n && math.Abs(n) < 1<<53 && !(n == 0 && math.Signbit(n)) {
		return strconv.AppendInt(b, whole, 10)
	}
	return appendJSON(b, n)
}

// appendJSON appends v as encoding/json encodes it. For a string or a finite number, that
// cannot fail.
func appendJSON(b []byte, v any) []byte {
	raw, _ := json.Marshal(v)
	return append(b, raw...)
}

// object decodes a stored JSON object. It returns nil if raw is none, or has a number that
// does not fit into a float64.
func object(raw json.RawMessage) *structpb.Struct {
	r := jsonReader{rest: string(raw)}
	s := r.object()
	if r.skip(); r.bad || r.rest != "" {
		return nil
	}
	return s
}

// jsonReader decodes well-formed JSON. If something is malformed, bad is set, and what it
// returns means nothing.
type jsonReader struct {
	rest string
	bad  bool
}

func (r *jsonReader) skip() { r.rest = strings.TrimLeft(r.rest, " \t\r\n") }

// take skips token if it comes next, and reports whether it did.
func (r *jsonReader) take(token string) bool {
	r.skip()
	rest, ok := strings.CutPrefix(r.rest, token)
	r.rest = rest
	return ok
}

// must skips token, which must come next.
func (r *jsonReader) must(token string) { r.bad = !r.take(token) || r.bad }

func (r *jsonReader) object() *structpb.Struct {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	r.must("{")
	if r.take("}") {
		return s
	}
	for more := true; more && !r.bad; more = r.take(",") {
		key := r.string()
		r.must(":")
		s.Fields[key] = r.value()
	}
	r.must("}")
	return s
}

func (r *jsonReader) list() *structpb.ListValue {
	l := &structpb.ListValue{}
	r.must("[")
	if r.take("]") {
		return l
	}
	for more := true; more && !r.bad; more = r.take(",") {
		l.Values = append(l.Values, r.value())
	}
	r.must("]")
	return l
}

func (r *jsonReader) value() *structpb.Value {
	r.skip()
	switch {
	case strings.HasPrefix(r.rest, "{"):
		return structpb.NewStructValue(r.object())
	case strings.HasPrefix(r.rest, "["):
		return structpb.NewListValue(r.list())
	case strings.HasPrefix(r.rest, `"`):
		return structpb.NewStringValue(r.string())
	case r.take("true"):
		return structpb.NewBoolValue(true)
	case r.take("false"):
		return structpb.NewBoolValue(false)
	case r.take("null"):
		return structpb.NewNullValue()
	default:
		return structpb.NewNumberValue(r.number())
	}
}

func (r *jsonReader) number() float64 {
	end := strings.IndexAny(r.rest, ",]} \t\r\n")
	if end < 0 {
		r.bad = true
		return 0
	}
	n, err := strconv.ParseFloat(r.rest[:end], 64)
	r.rest, r.bad = r.rest[end:], r.bad || err != nil
	return n
}

func (r *jsonReader) string() string {
	r.must(`"`)
	end := strings.IndexAny(r.rest, `"\`)
	if end >= 0 && r.rest[end] == '"' {
		s := r.rest[:end]
		r.rest = r.rest[end+1:]
		return s
	}
	return r.escaped()
}

// escaped decodes the rest of a string that has escapes.
func (r *jsonReader) escaped() string {
	end := 0
	for end < len(r.rest) && r.rest[end] != '"' {
		if r.rest[end] == '\\' {
			end++
		}
		end++
	}
	var s string
	if end >= len(r.rest) || json.Unmarshal([]byte(`"`+r.rest[:end+1]), &s) != nil {
		r.rest, r.bad = "", true
		return ""
	}
	r.rest = r.rest[end+1:]
	return s
}
