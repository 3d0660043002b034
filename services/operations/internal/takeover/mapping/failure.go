package mapping

import "encoding/json"

// longestMessage is how much of a legacy error's text is kept, in code points.
const longestMessage = 120

// failed is one failure, or none if there is no code.
func failed(code, reason, message *string) []Failure {
	if text(code) == "" {
		return nil
	}
	f := Failure{Code: *code, ReasonCode: text(reason), Message: cut(text(message), longestMessage)}
	if f.ReasonCode == "" {
		f.ReasonCode = "unknown"
	}
	return []Failure{f}
}

// code is what is said of a failure's code, if anything is.
func code(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case map[string]any:
		if _, nested := v["code"].(map[string]any); !nested {
			return code(v["code"])
		}
	}
	return "", false
}

// entries answers the values of a list, or one that stands alone. An object without
// anything is how an empty list may be written.
func entries(doc json.RawMessage) []any {
	v := decode(doc)
	object, ok := v.(map[string]any)
	list, many := v.([]any)
	switch {
	case v == nil, ok && len(object) == 0:
		return nil
	case many:
		return list
	}
	return []any{v}
}

// coded answers a failure for each of the codes of a document.
func coded(codes json.RawMessage) (failures []Failure) {
	for _, v := range entries(codes) {
		if c, ok := code(v); ok {
			failures = append(failures, Failure{Code: c, ReasonCode: "unknown"})
		}
	}
	return failures
}

// normalFailures answers the failures of a canonical run with what each must have.
func normalFailures(doc json.RawMessage) (failures []Failure) {
	for _, v := range entries(doc) {
		f := Failure{Code: "unknown", ReasonCode: "unknown"}
		c, coded := code(v)
		if coded {
			f.Code = c
		}
		object, ok := v.(map[string]any)
		if !ok && !coded {
			continue
		}
		if reason, _ := object["reason_code"].(string); reason != "" {
			f.ReasonCode = reason
		}
		f.Message, _ = object["message"].(string)
		failures = append(failures, f)
	}
	return failures
}

// normalCounts answers the counts of a canonical run.
func normalCounts(doc json.RawMessage) map[string]int64 {
	counts := map[string]int64{}
	object, _ := decode(doc).(map[string]any)
	for key, v := range object {
		if n, ok := whole(v); ok {
			counts[key] = n
		}
	}
	return counts
}
