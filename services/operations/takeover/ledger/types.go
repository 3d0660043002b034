package ledger

import (
	"context"
	"fmt"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
)

// TypeFound is a type of the legacy canonical runs.
type TypeFound struct {
	Type      string
	Rows      int64
	Canonical string // what it becomes; empty: archived, or not decided
	Trigger   string // becomes context.trigger
	Decided   bool
	Known     bool // the tool knows it: no decision is needed
}

// Becomes returns the canonical type, [legacy.Archive], or "?" if that is not decided.
func (f TypeFound) Becomes() string {
	switch {
	case !f.Decided:
		return "?"
	case f.Canonical == "":
		return legacy.Archive
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

// Types returns the types of the legacy canonical runs, and what each becomes.
func (l *Ledger) Types(ctx context.Context) ([]TypeFound, error) {
	found, err := query.Collect[TypeFound](ctx, l.Legacy, readTypes)
	if err != nil {
		return nil, fmt.Errorf("types: %w", err)
	}
	return found, nil
}
