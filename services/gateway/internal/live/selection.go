package live

import (
	"context"
	"slices"
	"strconv"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// How many types and runs a query may select. Operations has the same bounds for a watch.
const (
	mostTypes = 50
	mostRuns  = 200
)

// selection says which runs of a workspace a viewer follows. An empty field selects
// all runs.
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
func (s *Streams) selectionOf(ctx context.Context, query string) (selection, error) {
	var chosen selection
	values, err := web.ParseQuery(query)
	if err != nil {
		return chosen, err
	}
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
		number, ok := web.ParseID(text)
		if !ok {
			return nil, errs.Invalid(name, "%s is not an id", strconv.Quote(text))
		}
		all = append(all, number)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// knownTypes returns the given types, or an error if one is not a run type.
func (s *Streams) knownTypes(ctx context.Context, given []string) ([]string, error) {
	if len(given) > mostTypes {
		return nil, errs.Invalid("type", "is given more than %d times", mostTypes)
	}
	list, err := s.runs.ListRunTypes(ctx, &operationsv1.ListRunTypesRequest{})
	if err != nil {
		return nil, err
	}
	for _, name := range given {
		if !slices.ContainsFunc(list.GetRunTypes(), func(t *operationsv1.RunType) bool { return t.GetType() == name }) {
			return nil, errs.Invalid("type", "%s is not a run type", strconv.Quote(name))
		}
	}
	return given, nil
}
