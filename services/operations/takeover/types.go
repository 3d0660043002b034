package takeover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// archive is what is said instead of a type for runs that stay behind.
const archive = "archive"

// typeFound is a type that legacy canonical runs have.
type typeFound struct {
	Type      string
	Rows      int64
	Canonical string // empty: archived, or not decided
	Trigger   string
	Decided   bool
	Known     bool // needs no decision
}

func (f typeFound) becomes() string {
	switch {
	case !f.Decided:
		return "?"
	case f.Canonical == "":
		return archive
	}
	return f.Canonical
}

const readTypes = `-- takeover.readTypes
	select o.type, o.rows,
		coalesce(case when m.legacy_type is null then k.canonical else m.canonical end, ''),
		coalesce(case when m.legacy_type is null then tenantpilot_takeover.known_trigger(o.type) else m.trigger end, ''),
		m.legacy_type is not null or k.canonical is not null, k.canonical is not null
	from (select type, count(*) as rows from operation_runs group by type) o
	cross join lateral (select tenantpilot_takeover.known_type(o.type) as canonical) k
	left join tenantpilot_takeover.type_map m on m.legacy_type = o.type
	order by o.type`

// typesFound answers the types of legacy canonical runs, and what is decided of them.
func (t *Tool) typesFound(ctx context.Context) ([]typeFound, error) {
	found, err := collect[typeFound](ctx, t.legacy, readTypes)
	if err != nil {
		return nil, fmt.Errorf("types: %w", err)
	}
	return found, nil
}

// decideTypes decides the types by what the operator says, and checks that none is
// left. What was decided stays once ids are reserved: runs may have been written by it.
func (a *adoption) decideTypes(ctx context.Context) error {
	found, err := a.typesFound(ctx)
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
	become := a.r.table("Types of canonical runs", "type", "becomes", "trigger", "rows")
	for _, f := range found {
		become.row(f.Type, f.becomes(), f.Trigger, f.Rows)
	}
	a.r.check("every type is known or decided by --type-map", len(open) == 0, "undecided: %s", orNone(open))
	a.r.check("--type-map says what can be", len(wrong) == 0, "wrong: %s", orNone(wrong))
	a.types = found
	a.tellUnused()
	return nil
}

// tellUnused tells of what --type-map says of types that no run has.
func (a *adoption) tellUnused() {
	var unused []string
	for said := range a.o.TypeMap {
		if !slices.ContainsFunc(a.types, func(f typeFound) bool { return f.Type == said }) {
			unused = append(unused, said)
		}
	}
	slices.Sort(unused)
	a.r.find(Finding{Code: "unused_type_map", Count: int64(len(unused)), Samples: unused, Message: "types of --type-map that no run has"})
}

// decide answers what is wrong with what the operator says of f, or takes it.
func (a *adoption) decide(f *typeFound, said string) (wrong []string) {
	_, canonical := run.DefaultTypes()[said]
	switch {
	case !canonical && said != archive:
		return []string{fmt.Sprintf("%s=%s names no canonical type; they are %s, and %s", f.Type, said, canonicalNames(), archive)}
	case said == f.becomes():
		return nil
	case f.Known:
		return []string{fmt.Sprintf("%s is known, and becomes %s", f.Type, f.becomes())}
	case f.Decided && a.reserved():
		return []string{fmt.Sprintf("%s was adopted as %s before: roll adopt back to change that", f.Type, f.becomes())}
	}
	f.Canonical, f.Decided = said, true
	if said == archive {
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
	if err := a.legacy.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("save types: %w", err)
	}
	return nil
}
