package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.einride.tech/aip/filtering"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// The limits of a filter are far above what a person writes.
const (
	maxFilter      = 2000
	maxFilterDepth = 8
	maxFilterTerms = 20
	maxFilterValue = 256
)

// parseFilter parses the part of AIP-160 that ListRuns supports: terms joined by AND, each
// "field = value"; times may also be compared with < <= > >=. An error names what is not
// supported.
func parseFilter(filter string, types run.Types) (run.Filter, error) {
	p := filterParser{types: types}
	if strings.TrimSpace(filter) == "" {
		return p.filter, nil
	}
	if err := plain(filter); err != nil {
		return p.filter, err
	}
	var parser filtering.Parser
	parser.Init(filter)
	parsed, err := parser.Parse()
	if err != nil {
		return p.filter, notAFilter(err)
	}
	err = p.add(parsed.GetExpr())
	return p.filter, err
}

func invalidFilter(format string, args ...any) error {
	return errs.Invalid("filter", format, args...).WithReason("INVALID_FILTER")
}

// plain returns an error for a filter that could make the recursive parser overflow.
func plain(filter string) error {
	if len(filter) > maxFilter {
		return invalidFilter("is %d bytes long; at most %d are read", len(filter), maxFilter)
	}
	depth := 0
	var quote rune
	escaped := false
	for _, r := range filter {
		switch {
		case escaped:
			escaped = false
		case quote != 0 && r == '\\':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '(':
			depth++
		case r == ')':
			depth--
		}
		if depth > maxFilterDepth {
			return invalidFilter("is nested deeper than %d levels", maxFilterDepth)
		}
	}
	return nil
}

// notAFilter returns an error with the innermost message of the parser, and where in the
// filter it belongs.
func notAFilter(err error) error {
	said, where := "it ends too soon", ""
	for ; err != nil; err = errors.Unwrap(err) {
		if e, ok := err.(interface {
			Message() string
			Position() filtering.Position
		}); ok && errors.Unwrap(err) == nil {
			said, where = e.Message(), fmt.Sprintf(" at character %d", e.Position().Column)
		}
	}
	return invalidFilter("is not an AIP-160 filter: %s%s", said, where)
}

// filterParser builds a filter term by term.
type filterParser struct {
	types  run.Types
	filter run.Filter
	named  []string // fields compared by =
	terms  int
}

// add adds a term, or both sides of an AND.
func (p *filterParser) add(e *expr.Expr) error {
	call := e.GetCallExpr()
	if call == nil || len(call.Args) != 2 {
		return invalidFilter("takes terms of the form field = value, joined by AND")
	}
	if call.Function == filtering.FunctionAnd {
		if err := p.add(call.Args[0]); err != nil {
			return err
		}
		return p.add(call.Args[1])
	}
	if p.terms++; p.terms > maxFilterTerms {
		return invalidFilter("has more than %d terms", maxFilterTerms)
	}
	switch call.Function {
	case filtering.FunctionOr, filtering.FunctionNot, filtering.FunctionFuzzyAnd:
		return invalidFilter("joins terms by AND only")
	}
	field := fieldPath(call.Args[0])
	value, err := filterValue(call.Args[1])
	if err != nil {
		return err
	}
	if moment := run.Moment(field); slices.Contains([]run.Moment{run.CreateTime, run.StartTime, run.CompleteTime}, moment) {
		return p.bound(moment, call.Function, value)
	}
	if call.Function != filtering.FunctionEquals {
		return invalidFilter("compares %s by = only, not by %q", field, call.Function)
	}
	if slices.Contains(p.named, field) {
		return invalidFilter("names %s twice", field)
	}
	p.named = append(p.named, field)
	return p.equal(field, value)
}

// fieldPath returns the field that e names, for example "status" or
// "context.backup_schedule_id", or "".
func fieldPath(e *expr.Expr) string {
	if id := e.GetIdentExpr(); id != nil {
		return id.Name
	}
	if s := e.GetSelectExpr(); s != nil {
		return fieldPath(s.Operand) + "." + s.Field
	}
	return ""
}

func filterValue(e *expr.Expr) (string, error) {
	switch c := e.GetConstExpr().GetConstantKind().(type) {
	case *expr.Constant_StringValue:
		return c.StringValue, nil
	case *expr.Constant_Int64Value:
		return strconv.FormatInt(c.Int64Value, 10), nil
	}
	if name := e.GetIdentExpr().GetName(); name != "" { // a bare word, as AIP-160 allows
		return name, nil
	}
	return "", invalidFilter("compares fields with strings, whole numbers, true and false only")
}

func (p *filterParser) bound(m run.Moment, function, value string) error {
	switch c := run.Comparison(function); c {
	case run.At, run.Before, run.Until, run.After, run.NotUntil:
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return invalidFilter("%s: %q is not a time like \"2006-01-02T15:04:05Z\"", m, value)
		}
		if !at.Equal(at.Truncate(time.Microsecond)) {
			return invalidFilter("%s: %q is finer than a microsecond, which no time of a run is", m, value)
		}
		p.filter.Bounds = append(p.filter.Bounds, run.Bound{Moment: m, Comparison: c, At: at})
		return nil
	default:
		return invalidFilter("compares %s by =, <, <=, > and >= only, not by %q", m, function)
	}
}

func (p *filterParser) equal(field, value string) error {
	f := &p.filter
	if value == "" || len(value) > maxFilterValue {
		return invalidFilter("compares %s with a value of %d bytes; it takes 1 to %d", field, len(value), maxFilterValue)
	}
	if key, ok := strings.CutPrefix(field, "context."); ok {
		return p.label(key, value)
	}
	switch field {
	case "status":
		f.Status = run.Status(value)
		return oneOf(field, f.Status, run.Queued, run.Running, run.Completed)
	case "outcome":
		f.Outcome = run.Outcome(value)
		return oneOf(field, f.Outcome, run.Pending, run.Succeeded, run.PartiallySucceeded, run.Failed, run.Cancelled)
	case "type":
		f.Type = value
		if _, err := p.types.Get(value); err != nil {
			return invalidFilter("type %q is not a run type", value)
		}
		return nil
	case "has_failures":
		has := value == "true"
		f.HasFailures = &has
		return oneOf(field, value, "true", "false")
	case "reason_code":
		word, err := storedReason(value)
		f.ReasonCode = word
		return err
	case "trace_id":
		f.TraceID = value
		if strings.Trim(value, "0123456789abcdef") != "" || len(value) != 32 {
			return invalidFilter("trace_id = %q is not 32 lower-case hex digits", value)
		}
		return nil
	}
	return p.word(field, value)
}

// storedReason returns the stored word of a reason that is named as in a response, for
// example "throttled" for FAILURE_REASON_THROTTLED. Anything else is a stored word already,
// perhaps one that was imported.
func storedReason(value string) (string, error) {
	n, ok := operationsv1.FailureReason_value[value]
	if !ok {
		return value, nil
	}
	reason := operationsv1.FailureReason(n)
	if !writable(reason) {
		return "", invalidFilter("reason_code = %s stands for no word; name the word that a failure has in other_reason", value)
	}
	return reasonWord(reason), nil
}

// word sets a field whose value is a word or an id.
func (p *filterParser) word(field, value string) error {
	f := &p.filter
	words := map[string]*string{
		"initiator_name": &f.InitiatorName, "legacy.source": &f.LegacySource, "legacy.id": &f.LegacyID,
	}
	if to, ok := words[field]; ok {
		*to = value
		return nil
	}
	ids := map[string]*int64{"tenant_id": &f.TenantID, "user_id": &f.UserID, "retry_of": &f.RetryOf, "parent_run_id": &f.ParentRunID}
	to, ok := ids[field]
	if !ok {
		return invalidFilter("does not know the field %.100q; fields are status, outcome, type, tenant_id, user_id, initiator_name, "+
			"create_time, start_time, complete_time, has_failures, reason_code, retry_of, parent_run_id, trace_id, legacy.source, "+
			"legacy.id and context.KEY", field)
	}
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil || id <= 0 {
		return invalidFilter("%s = %q is not an id", field, value)
	}
	*to = id
	return nil
}

func (p *filterParser) label(key, value string) error {
	for _, t := range p.types {
		if slices.Contains(t.SearchKeys, key) {
			if p.filter.Labels == nil {
				p.filter.Labels = map[string]string{}
			}
			p.filter.Labels[key] = value
			return nil
		}
	}
	return invalidFilter("context.%.100s is no search key of any run type; see ListRunTypes", key)
}

func oneOf[T ~string](field string, value T, known ...T) error {
	if slices.Contains(known, value) {
		return nil
	}
	return invalidFilter("%s = %q is unknown; it is one of %v", field, value, known)
}
