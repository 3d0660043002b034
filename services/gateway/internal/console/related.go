package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console/templates"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// relatedOf returns the links of a run's page: to its parent and the run it repeats,
// and to the lists of all runs of the same tenant, schedule and so on.
func relatedOf(shell templates.Shell, run *operationsv1.Run, tenant string) []templates.Related {
	var related []templates.Related
	if run.TenantId != nil {
		related = append(related, templates.Related{Label: "Tenant", Text: tenant, Href: runsOf(shell, "tenant", words.ID(run.GetTenantId()))})
	}
	if run.ParentRunId != nil {
		related = append(related, anotherRun(run, "Part of", "parent_run_id", run.GetParentRunId()))
	}
	if run.RetryOf != nil {
		related = append(related, anotherRun(run, "Repeats", "retry_of", run.GetRetryOf()))
	}
	for _, k := range relatedKeys() {
		value := named(run.GetContext(), k.key)
		if value == "" {
			continue
		}
		r := templates.Related{Label: k.label, Text: "#" + value}
		if _, ok := web.ParseID(value); ok {
			r.Href = runsOf(shell, k.filter, value)
		}
		related = append(related, r)
	}
	return related
}

// anotherRun returns a link to the run that a field of run names. If retention has
// removed that run, there is text instead of the link.
func anotherRun(run *operationsv1.Run, label, field string, number int64) templates.Related {
	text := "run #" + words.ID(number)
	if slices.Contains(run.GetRemovedReferences(), field) {
		return templates.Related{Label: label, Text: text + ", removed by retention"}
	}
	return templates.Related{Label: label, Text: text, Href: "/operations/" + words.ID(number)}
}

// runsOf returns the address of the list of runs with one filter.
func runsOf(shell templates.Shell, filter, value string) string {
	q := url.Values{filter: {value}}
	if len(shell.Workspaces) > 1 {
		q.Set("workspace", shell.Workspace.ID)
	}
	return "/operations?" + q.Encode()
}

// named returns the value of key in a run's context, or else in the context's inputs.
// Operations looks for it in the same two places.
func named(context *structpb.Struct, key string) string {
	value, ok := context.GetFields()[key]
	if !ok {
		value = context.GetFields()["inputs"].GetStructValue().GetFields()[key]
	}
	return scalar(value)
}

// scalar returns a string or a number as text, and "" for anything else.
func scalar(v *structpb.Value) string {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return k.StringValue
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(k.NumberValue, 'f', -1, 64)
	}
	return ""
}

// legacyOf returns where an imported run came from, which its context says. It returns
// nil for other runs.
func legacyOf(run *operationsv1.Run) *templates.Legacy {
	if !words.Imported(run) {
		return nil
	}
	before := run.GetContext().GetFields()["legacy"].GetStructValue().GetFields()
	v := &templates.Legacy{Source: scalar(before["source"]), ID: scalar(before["id"]), Status: scalar(before["status"])}
	notes := before["notes"].GetListValue().GetValues()
	if notes == nil {
		notes = []*structpb.Value{before["notes"]}
	}
	for _, n := range notes {
		if note := scalar(n); note != "" {
			v.Notes = append(v.Notes, strings.ReplaceAll(note, "_", " "))
		}
	}
	return v
}
