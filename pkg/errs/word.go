package errs

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Word returns the name of an enum's value without the prefix that every name of
// the enum has: "LEASE_LOST" for RUN_REASON_LEASE_LOST. It is how a reason
// crosses a call. A number that this binary does not know is "UNKNOWN".
func Word(e protoreflect.Enum) string {
	v := e.Descriptor().Values().ByNumber(e.Number())
	if v == nil {
		return "UNKNOWN"
	}
	return strings.TrimPrefix(string(v.Name()), prefix(e))
}

// FromWord returns the value of E that [Word] makes word of, in upper or lower
// case, and whether there is one.
func FromWord[E protoreflect.Enum](word string) (E, bool) {
	var zero E
	v := zero.Descriptor().Values().ByName(protoreflect.Name(prefix(zero) + strings.ToUpper(word)))
	if v == nil {
		return zero, false
	}
	e, ok := zero.Type().New(v.Number()).(E)
	return e, ok
}

// prefix is what the enum's zero value, which ends in UNSPECIFIED, begins with.
func prefix(e protoreflect.Enum) string {
	return strings.TrimSuffix(string(e.Descriptor().Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// HasReason reports whether the reason of err is one of those given.
func HasReason(err error, reasons ...protoreflect.Enum) bool {
	said := Reason(err)
	return said != "" && slices.ContainsFunc(reasons, func(e protoreflect.Enum) bool { return Word(e) == said })
}
