package adopt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/ledger"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// decideTypes gives each type what --type-map says, and checks that every type is decided.
// Decisions cannot change once ids are reserved: runs may exist that depend on them.
func (a *adoption) decideTypes(ctx context.Context) error {
	found, err := a.Types(ctx)
	if err != nil {
		return err
	}
	var wrong, open []string
	for i := range found {
		f := &found[i]
		if said, ok := a.o.TypeMap[f.Type]; ok {
			wrong = append(wrong, a.decide(f, said)...)
		}
		if !f.Decided {
			open = append(open, f.Type)
		}
	}
	become := a.r.Table("Types of canonical runs", "type", "becomes", "trigger", "rows")
	for _, f := range found {
		become.Row(f.Type, f.Becomes(), f.Trigger, f.Rows)
	}
	a.r.Check("every type is known or decided by --type-map", len(open) == 0, "undecided: %s", report.List(open))
	a.r.Check("--type-map is valid", len(wrong) == 0, "wrong: %s", report.List(wrong))
	a.types = found
	a.reportUnused()
	return nil
}

// reportUnused reports types of --type-map that no run has.
func (a *adoption) reportUnused() {
	var unused []string
	for said := range a.o.TypeMap {
		if !slices.ContainsFunc(a.types, func(f ledger.TypeFound) bool { return f.Type == said }) {
			unused = append(unused, said)
		}
	}
	slices.Sort(unused)
	a.r.Find(report.Finding{Code: "unused_type_map", Count: int64(len(unused)), Samples: unused, Message: "types of --type-map that no run has"})
}

// decide gives f what --type-map says, or returns what is wrong with that.
func (a *adoption) decide(f *ledger.TypeFound, said string) (wrong []string) {
	_, canonical := run.DefaultTypes()[said]
	switch {
	case !canonical && said != legacy.Archive:
		return []string{fmt.Sprintf("%s=%s names no canonical type; they are %s, and %s", f.Type, said, canonicalNames(), legacy.Archive)}
	case said == f.Becomes():
		return nil
	case f.Known:
		return []string{fmt.Sprintf("%s is known, and becomes %s", f.Type, f.Becomes())}
	case f.Decided && a.reserved():
		return []string{fmt.Sprintf("%s was adopted as %s before: roll adopt back to change that", f.Type, f.Becomes())}
	}
	f.Canonical, f.Decided = said, true
	if said == legacy.Archive {
		f.Canonical = ""
	}
	return nil
}

func canonicalNames() string {
	var names []string
	for _, t := range run.DefaultTypes().List() {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

const saveType = `-- takeover.saveType
	insert into tenantpilot_takeover.type_map (legacy_type, canonical, trigger) values ($1, nullif($2, ''), nullif($3, ''))
	on conflict (legacy_type) do update set canonical = excluded.canonical, trigger = excluded.trigger`

func (a *adoption) saveTypes(ctx context.Context) error {
	batch := &pgx.Batch{}
	for _, f := range a.types {
		batch.Queue(saveType, f.Type, f.Canonical, f.Trigger)
	}
	if err := a.Legacy.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("save types: %w", err)
	}
	return nil
}
