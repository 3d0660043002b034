package mapping

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

var digits = regexp.MustCompile(`^[0-9]{1,18}$`)

// whole returns the count that a value of a document stands for, if it does.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case json.Number:
		return wholeNumber(string(v))
	case string:
		if digits.MatchString(v) {
			n, err := strconv.ParseInt(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// wholeNumber drops the fraction of a JSON number; the database writes numbers without
// exponents.
func wholeNumber(s string) (int64, bool) {
	if strings.ContainsAny(s, "eE") {
		f, err := strconv.ParseFloat(s, 64)
		return int64(f), err == nil && f >= 0 && f < math.MaxInt64
	}
	integer, fraction, _ := strings.Cut(s, ".")
	if negative, ok := strings.CutPrefix(integer, "-"); ok {
		return 0, strings.Trim(negative+fraction, "0") == ""
	}
	n, err := strconv.ParseInt(integer, 10, 64)
	return n, err == nil
}

func orZero(v any) int64 {
	if n, ok := whole(v); ok {
		return n
	}
	return 0
}

// positive returns the count of a column, 0 if it is null or negative.
func positive(n *int64) int64 {
	if n == nil {
		return 0
	}
	return max(*n, 0)
}
