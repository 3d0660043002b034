package mapping

import (
	"encoding/json"
	"strconv"
)

// longestMessage is how many code points of a legacy error text are kept.
const longestMessage = 120

// failed returns one failure, or none if there is no code.
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

// code returns the code of a failure, if it has one.
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

// entries returns the values of a list, or a single value as a list of one. An empty object
// counts as an empty list: PHP may write it so.
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

// coded returns a failure for each code of a document.
func coded(codes json.RawMessage) (failures []Failure) {
	for _, v := range entries(codes) {
		if c, ok := code(v); ok {
			failures = append(failures, Failure{Code: c, ReasonCode: "unknown"})
		}
	}
	return failures
}

// normalFailures returns the failures of a canonical run with the fields that failures have
// now, and reports whether doc holds more than those.
func normalFailures(doc json.RawMessage) (failures []Failure, more bool) {
	for _, v := range entries(doc) {
		object, ok := v.(map[string]any)
		c, coded := code(v)
		if !ok && !coded {
			more = true
			continue
		}
		f := normalFailure(object)
		if coded {
			f.Code = c
		}
		failures = append(failures, f)
		more = more || !ok || f.less(object)
	}
	return failures, more
}

func normalFailure(object map[string]any) Failure {
	f := Failure{Code: "unknown", ReasonCode: "unknown"}
	if reason, _ := object["reason_code"].(string); reason != "" {
		f.ReasonCode = reason
	}
	f.Message, _ = object["message"].(string)
	f.Item, _ = object["item"].(string)
	f.Retryable, _ = object["retryable"].(bool)
	f.Remediation, _ = object["remediation"].(string)
	f.RequestID, _ = object["request_id"].(string)
	return f
}

// less reports whether object holds anything that f does not.
func (f Failure) less(object map[string]any) bool {
	kept := map[string]any{
		"code": f.Code, "reason_code": f.ReasonCode, "message": f.Message,
		"item": f.Item, "retryable": f.Retryable, "remediation": f.Remediation, "request_id": f.RequestID,
	}
	for key, v := range object {
		if v != nil && v != kept[key] {
			return true
		}
	}
	return false
}

// normalCounts returns the counts of a canonical run, and reports whether doc holds more.
func normalCounts(doc json.RawMessage) (counts map[string]int64, more bool) {
	counts = map[string]int64{}
	v := decode(doc)
	object, ok := v.(map[string]any)
	if list, many := v.([]any); v != nil && !ok && (!many || len(list) > 0) {
		more = true
	}
	for key, v := range object {
		n, ok := whole(v)
		if ok {
			counts[key] = n
		}
		more = more || v != nil && !(ok && sameValue(v, json.Number(strconv.FormatInt(n, 10))))
	}
	return counts, more
}
