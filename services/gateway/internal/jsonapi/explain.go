package jsonapi

import (
	"regexp"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// explain turns an error that grpc-gateway itself made into one of ours, with the field
// and what is wrong with it. Its errors are statuses without a reason, so their text is
// all there is to go by. Errors of the services are returned as they are.
func explain(err error) error {
	if _, ok := errs.As(err); ok {
		return err
	}
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.InvalidArgument || len(s.Details()) > 0 {
		return err
	}
	for _, shape := range shapes {
		if m := shape.pattern.FindStringSubmatch(s.Message()); m != nil {
			return errs.Invalid(m[1], "%s", shape.says)
		}
	}
	return errMalformed("the body does not fit the request%s", position(s.Message()))
}

type shape struct {
	pattern *regexp.Regexp
	says    string
}

// The texts of errors of protojson and of grpc-gateway's query parser.
var (
	shapes = []shape{
		{regexp.MustCompile(`unknown field "([^"]+)"`), "is not a field of this request"},
		{regexp.MustCompile(`duplicate field "([^"]+)"`), "is given twice"},
		{regexp.MustCompile(`duplicate map key "([^"]+)"`), "is given twice"},
		{regexp.MustCompile(`invalid value for \w+ field (\w+)`), "has a value of the wrong kind"},
		{regexp.MustCompile(`invalid value for \w+ (?:type|value)?:? ?()`), "a value is of the wrong kind"},
		{regexp.MustCompile(`parsing (?:field|list) "([^"]+)"`), "has a value of the wrong kind"},
		{regexp.MustCompile(`too many values for field "([^"]+)"`), "is given more than once"},
		{regexp.MustCompile(`invalid path: "([^"]+)"`), "is not a field of this request"},
	}
	place = regexp.MustCompile(`\(line (\d+):(\d+)\)`)
)

// position returns where protojson stopped, for example " at line 1, column 14".
func position(message string) string {
	m := place.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	return " at line " + m[1] + ", column " + m[2]
}
