package web

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// How many types and runs one stream may be about; operations says the same of a watch.
const (
	mostTypes = 50
	mostRuns  = 200
)

// selection is which runs of a workspace somebody follows. What is empty leaves
// nothing out.
type selection struct {
	tenant int64
	types  []string
	runs   []int64
}

func (s selection) has(run *operationsv1.Run) bool {
	return (s.tenant == 0 || run.TenantId != nil && run.GetTenantId() == s.tenant) &&
		(len(s.types) == 0 || slices.Contains(s.types, run.GetType())) &&
		(len(s.runs) == 0 || slices.Contains(s.runs, run.GetId()))
}

// selectionOf reads the query of a workspace's stream.
func (s *Site) selectionOf(ctx context.Context, query string) (selection, error) {
	var chosen selection
	if err := checkQuery(query); err != nil {
		return chosen, err
	}
	values, _ := url.ParseQuery(query) // checked
	for name, given := range values {
		var err error
		switch name {
		case "tenant_id":
			chosen.tenant, err = oneID(name, given)
		case "type":
			chosen.types, err = s.knownTypes(ctx, given)
		case "run_id":
			chosen.runs, err = ids(name, given)
		default:
			err = errs.Invalid(name, "is not a parameter of this stream: tenant_id, type and run_id are")
		}
		if err != nil {
			return chosen, err
		}
	}
	return chosen, nil
}

func oneID(name string, given []string) (int64, error) {
	if len(given) != 1 {
		return 0, errs.Invalid(name, "is given more than once")
	}
	all, err := ids(name, given)
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

func ids(name string, given []string) ([]int64, error) {
	if len(given) > mostRuns {
		return nil, errs.Invalid(name, "is given more than %d times", mostRuns)
	}
	var all []int64
	for _, text := range given {
		number, ok := parseID(text)
		if !ok {
			return nil, errs.Invalid(name, "%s is not an id", strconv.Quote(text))
		}
		all = append(all, number)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (s *Site) knownTypes(ctx context.Context, given []string) ([]string, error) {
	if len(given) > mostTypes {
		return nil, errs.Invalid("type", "is given more than %d times", mostTypes)
	}
	known, err := s.runTypes(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range given {
		if !known.has(name) {
			return nil, errs.Invalid("type", "%s is not a run type", strconv.Quote(name))
		}
	}
	return given, nil
}
