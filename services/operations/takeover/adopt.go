package takeover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// adoption is one call of adopt: what it is told, and what it finds.
type adoption struct {
	*Tool
	o      AdoptOptions
	r      *Report
	blocks []block // set aside before
	ids    map[string]legacyIDs
	types  []typeFound
	people people
}

// Adopt takes over workspaces, users, tenants and members, and the runs that are
// canonical already. It first looks at everything, and writes only if nothing is
// in the way. Running it again brings what the older installation made meanwhile.
func (t *Tool) Adopt(ctx context.Context, o AdoptOptions) (*Report, error) {
	return t.run(ctx, "adopt", o.Plan, o.told(), func(ctx context.Context, r *Report) error {
		a := &adoption{Tool: t, o: o, r: r}
		sound, err := a.look(ctx)
		if err != nil || !sound || o.Plan {
			return err
		}
		return a.do(ctx)
	})
}

// told are the options as a report shows them.
func (o AdoptOptions) told() map[string]string {
	told := map[string]string{}
	if o.IDOffset != 0 {
		told["id-offset"] = fmt.Sprint(o.IDOffset)
	}
	if o.Timezone != "" {
		told["legacy-timezone"] = o.Timezone
	}
	for _, flag := range []struct {
		name   string
		values []string
	}{{"type-map", pairs(o.TypeMap)}, {"workspace-map", pairs(o.WorkspaceMap)}, {"owner", pairs(o.Owners)}} {
		if len(flag.values) > 0 {
			told[flag.name] = strings.Join(flag.values, ",")
		}
	}
	return told
}

func pairs[K int64 | string](m map[K]string) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%v=%s", k, m[k]))
	}
	return list
}

// reserved reports whether ids were set aside before: then runs may have been
// written by what was decided, and it stays.
func (a *adoption) reserved() bool { return len(a.blocks) > 0 }

var errNoTenancy = errors.New(EnvPrefix + "TENANCY_ADDRESS is not set: adopt makes workspaces, users and tenants there")

// look checks everything that could be in the way, and reports whether nothing is.
func (a *adoption) look(ctx context.Context) (bool, error) {
	if a.tenancy == nil {
		return false, errNoTenancy
	}
	ready, err := a.checkDatabases(ctx, a.r)
	if err != nil || !ready {
		return false, err
	}
	if a.blocks, err = a.Tool.blocks(ctx); err != nil {
		return false, fmt.Errorf("read blocks of ids: %w", err)
	}
	for _, look := range []func(context.Context) error{a.decideTimezone, a.decideTypes, a.decideIDs, a.lookAtPeople} {
		if err := look(ctx); err != nil {
			return false, err
		}
	}
	return !slices.ContainsFunc(a.r.Checks, func(c Check) bool { return !c.Passed }), nil
}

const readTimezone = `-- takeover.readTimezone
	select timezone, exists (select from pg_timezone_names where name = $1) from tenantpilot_takeover.takeover`

// decideTimezone checks the zone of timestamps without one. It is decided once runs
// may have been written by it.
func (a *adoption) decideTimezone(ctx context.Context) error {
	var before string
	var known bool
	if err := a.legacy.QueryRow(ctx, readTimezone, a.o.Timezone).Scan(&before, &known); err != nil {
		return fmt.Errorf("time zone: %w", err)
	}
	const name = "timestamps without a zone have one"
	switch wanted := a.o.Timezone; {
	case wanted == "" || wanted == before:
		a.r.check(name, true, "it is %s", before)
	case !known:
		a.r.check(name, false, "--legacy-timezone %s is no time zone; they are named like Europe/Berlin", wanted)
	case a.reserved():
		a.r.check(name, false, "it was %s when runs were adopted before: roll adopt back to change that", before)
	default:
		a.r.check(name, true, "it is %s", wanted)
	}
	return nil
}

const saveTimezone = `-- takeover.saveTimezone
	update tenantpilot_takeover.takeover set timezone = $1 where $1 <> ''`

// do writes: decisions, people, ids, runs, in an order in which each finds what it
// needs, however often it was stopped before.
func (a *adoption) do(ctx context.Context) error {
	if _, err := a.legacy.Exec(ctx, saveTimezone, a.o.Timezone); err != nil {
		return fmt.Errorf("save time zone: %w", err)
	}
	if err := a.saveTypes(ctx); err != nil {
		return err
	}
	if err := a.importPeople(ctx); err != nil {
		return err
	}
	if err := a.reserve(ctx, a.ids, a.o.IDOffset, a.people.held()); err != nil {
		return err
	}
	if err := a.copyBlocks(ctx); err != nil {
		return err
	}
	return a.adoptRuns(ctx)
}
