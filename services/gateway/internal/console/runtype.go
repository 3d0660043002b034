package console

import (
	"context"
	"slices"

	"github.com/a-h/templ"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// runType is what the console knows of one type of run. Its label is not here:
// operations knows it, as it knows which types there are. A type without an entry
// is shown like any other, without a section of its own.
type runType struct {
	name string
	// section returns the part of a run's page that only this type has. It is called
	// for runs that have begun here, and returns nil if there is nothing to show.
	section func(*Console, context.Context, *operationsv1.Run) templ.Component
	// start starts a run of this type. A type that has it can be run again.
	start func(*Console, context.Context, startForm) (*operationsv1.Run, error)
	// related are the things that runs of this type name in their context.
	related []relatedKey
}

// startForm is what a form says about the run to start.
type startForm struct {
	workspace, tenant int64
	requestID         string
	retryOf           *int64 // the run to repeat
}

// relatedKey is a key of a run's context whose value is the id of a thing, for
// example of a backup set. A run's page links to the list of all runs that name the
// same thing, and the list has a filter for it.
type relatedKey struct{ filter, label, key string }

// runTypes describes the types of runs. A new type needs one entry here, or none.
func runTypes() []runType {
	schedule := relatedKey{"schedule", "Schedule", "backup_schedule_id"}
	backupSet := relatedKey{"backup_set", "Backup set", "backup_set_id"}
	restore := relatedKey{"restore", "Restore", "restore_run_id"}
	return []runType{
		{name: inventorySync, section: (*Console).coverage, start: (*Console).startSync},
		{name: "backup_schedule_run", related: []relatedKey{schedule, backupSet}},
		{name: "restore_execute", related: []relatedKey{restore, backupSet}},
	}
}

// typeOf returns the description of a type, which is empty if it has none.
func typeOf(name string) runType {
	all := runTypes()
	if i := slices.IndexFunc(all, func(t runType) bool { return t.name == name }); i >= 0 {
		return all[i]
	}
	return runType{name: name}
}

// relatedKeys are the keys of all types, each once. They are looked for in every
// run: an imported one may have a key that its type has no more.
func relatedKeys() []relatedKey {
	var keys []relatedKey
	for _, t := range runTypes() {
		for _, k := range t.related {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// repeatable reports whether run can be run again here: it ended, and its type can
// be started.
func repeatable(run *operationsv1.Run) bool {
	return typeOf(run.GetType()).start != nil && run.TenantId != nil && !words.Active(run) && !words.Imported(run)
}
