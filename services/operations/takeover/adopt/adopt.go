// Package adopt takes over workspaces, users, tenants and members, and the runs that are
// canonical already. It is the only stage that calls tenancy.
package adopt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	tenancyv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/tenancy/v1"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// adoption is one call of adopt: its options, and what it finds.
type adoption struct {
	*ledger.Ledger
	tenancy tenancyv1.ImportServiceClient
	o       Options
	r       *report.Report
	blocks  []ledger.Block // reserved by an earlier call
	ids     map[string]legacyIDs
	types   []ledger.TypeFound
	people  people
}

// Run takes over who was who, and the runs that are canonical already. It first checks
// everything, and writes only if every check holds. A later call takes over what the older
// installation has made since. If tenancy is nil, it fails: the address was not given.
func Run(ctx context.Context, l *ledger.Ledger, tenancy tenancyv1.ImportServiceClient, o Options) (*report.Report, error) {
	return l.Stage(ctx, "adopt", o.Plan, o.shown(), func(ctx context.Context, r *report.Report) error {
		a := &adoption{Ledger: l, tenancy: tenancy, o: o, r: r}
		sound, err := a.look(ctx)
		if err != nil || !sound || o.Plan {
			return err
		}
		return a.do(ctx)
	})
}

func pairs[K int64 | string](m map[K]string) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%v=%s", k, m[k]))
	}
	return list
}

// reserved reports whether an earlier call has reserved ids. Then runs may exist that
// depend on its decisions, which cannot be changed any more.
func (a *adoption) reserved() bool { return len(a.blocks) > 0 }

var errNoTenancy = errors.New(ledger.EnvPrefix + "TENANCY_ADDRESS is not set: adopt makes workspaces, users and tenants there")

// look checks everything, and reports whether every check holds.
func (a *adoption) look(ctx context.Context) (bool, error) {
	if a.tenancy == nil {
		return false, errNoTenancy
	}
	ready, err := a.CheckDatabases(ctx, a.r)
	if err != nil || !ready {
		return false, err
	}
	if a.blocks, err = ledger.Blocks(ctx, a.Operations); err != nil {
		return false, fmt.Errorf("read blocks of ids: %w", err)
	}
	for _, look := range []func(context.Context) error{a.decideTimezone, a.decideTypes, a.decideIDs, a.lookAtPeople} {
		if err := look(ctx); err != nil {
			return false, err
		}
	}
	return a.r.Holds(), nil
}

const readTimezone = `-- takeover.readTimezone
	select timezone, exists (select from pg_timezone_names where name = $1) from tenantpilot_takeover.takeover`

// decideTimezone checks the zone of timestamps that have none.
func (a *adoption) decideTimezone(ctx context.Context) error {
	var before string
	var known bool
	if err := a.Legacy.QueryRow(ctx, readTimezone, a.o.Timezone).Scan(&before, &known); err != nil {
		return fmt.Errorf("time zone: %w", err)
	}
	const name = "the zone of timestamps without one is known"
	switch wanted := a.o.Timezone; {
	case wanted == "" || wanted == before:
		a.r.Check(name, true, "it is %s", before)
	case !known:
		a.r.Check(name, false, "--legacy-timezone %s is no time zone; an example is Europe/Berlin", wanted)
	case a.reserved():
		a.r.Check(name, false, "it was %s when runs were adopted before: roll adopt back to change that", before)
	default:
		a.r.Check(name, true, "it is %s", wanted)
	}
	return nil
}

const saveTimezone = `-- takeover.saveTimezone
	update tenantpilot_takeover.takeover set timezone = $1 where $1 <> ''`

// do writes decisions, people, ids and runs, in this order: each needs those before it,
// and finds them also after an interruption.
func (a *adoption) do(ctx context.Context) error {
	if _, err := a.Legacy.Exec(ctx, saveTimezone, a.o.Timezone); err != nil {
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
