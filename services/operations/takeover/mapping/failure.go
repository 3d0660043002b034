package mapping

import (
	"encoding/json"
	"strconv"
)

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

// normalFailures answers the failures of a canonical run with what each must and may
// have, and whether doc says more than that.
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

// less reports whether f lacks anything that object says.
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

// normalCounts answers the counts of a canonical run, and whether doc says more than that.
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
