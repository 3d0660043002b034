package api

import (
	"slices"
	"strconv"
	"strings"

	"go.einride.tech/aip/filtering"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// parseFilter reads the part of AIP-160 that ListRuns promises: terms joined by
// AND, each field = value. What is not promised is refused by name.
func parseFilter(filter string, types run.Types) (run.Filter, error) {
	var f run.Filter
	if strings.TrimSpace(filter) == "" {
		return f, nil
	}
	var parser filtering.Parser
	parser.Init(filter)
	parsed, err := parser.Parse()
	if err != nil {
		return f, invalidFilter("is not an AIP-160 filter: %v", err)
	}
	return f, addTerm(&f, parsed.GetExpr(), types)
}

func invalidFilter(format string, args ...any) error {
	return errs.Invalid("filter", format, args...).WithReason("INVALID_FILTER")
}

// addTerm adds a term, or both sides of an AND.
func addTerm(f *run.Filter, e *expr.Expr, types run.Types) error {
	call := e.GetCallExpr()
	switch {
	case call == nil || len(call.Args) != 2:
		return invalidFilter("takes terms of the form field = value, joined by AND")
	case call.Function == filtering.FunctionAnd:
		if err := addTerm(f, call.Args[0], types); err != nil {
			return err
		}
		return addTerm(f, call.Args[1], types)
	case call.Function != filtering.FunctionEquals:
		return invalidFilter("knows = and AND, not %q", call.Function)
	}
	value, err := filterValue(call.Args[1])
	if err != nil {
		return err
	}
	return setField(f, fieldPath(call.Args[0]), value, types)
}

// fieldPath answers "status" or "context.backup_schedule_id"; empty if e is neither.
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
	return "", invalidFilter("compares fields with strings and whole numbers only")
}

func setField(f *run.Filter, field, value string, types run.Types) error {
	if key, ok := strings.CutPrefix(field, "context."); ok {
		return setLabel(f, key, value, types)
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
		if _, err := types.Get(value); err != nil {
			return invalidFilter("type %q is not a run type", value)
		}
		return nil
	}
	ids := map[string]*int64{"tenant_id": &f.TenantID, "user_id": &f.UserID, "retry_of": &f.RetryOf, "parent_run_id": &f.ParentRunID}
	to, ok := ids[field]
	if !ok {
		return invalidFilter("does not know the field %q; fields are status, outcome, type, tenant_id, user_id, retry_of, parent_run_id and context.KEY", field)
	}
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil || id <= 0 {
		return invalidFilter("%s = %q is not an id", field, value)
	}
	*to = id
	return nil
}

func setLabel(f *run.Filter, key, value string, types run.Types) error {
	for _, t := range types {
		if slices.Contains(t.SearchKeys, key) {
			if f.Labels == nil {
				f.Labels = map[string]string{}
			}
			f.Labels[key] = value
			return nil
		}
	}
	return invalidFilter("context.%s is no search key of any run type; see ListRunTypes", key)
}

func oneOf[T ~string](field string, value T, known ...T) error {
	if slices.Contains(known, value) {
		return nil
	}
	return invalidFilter("%s = %q is unknown; it is one of %v", field, value, known)
}
