package web

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// ParseID reads an id as we write them: "12", but not "012", "+12" or "0". Any
// other text names nothing.
func ParseID(s string) (int64, bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	return id, err == nil && id > 0 && s == strconv.FormatInt(id, 10)
}

// CheckText refuses text that PostgreSQL cannot store; field is its name in the request.
func CheckText(field, s string) error {
	switch {
	case !utf8.ValidString(s):
		return errs.Invalid(field, "is not valid UTF-8")
	case strings.ContainsRune(s, 0):
		return errs.Invalid(field, "contains a NUL character")
	}
	return nil
}

// ParseQuery parses the query of an address, and refuses one that has text which
// [CheckText] refuses.
func ParseQuery(raw string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errs.Invalid("", "the query is not valid: a %% must be followed by two hexadecimal digits")
	}
	for name, given := range values {
		if !utf8.ValidString(name) || len(name) > 200 {
			return nil, errs.Invalid("", "a query parameter's name is not valid")
		}
		for _, v := range given {
			if err := CheckText(name, v); err != nil {
				return nil, err
			}
		}
	}
	return values, nil
}
