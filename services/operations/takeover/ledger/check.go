package ledger

import (
	"context"
	"maps"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

const readEncoding = `-- takeover.readEncoding
	select pg_encoding_to_char(encoding) from pg_database where datname = current_database()`

const notOurs = `-- takeover.notOurs
	select t from unnest($1::text[]) t
	where not pg_has_role(current_user, (select relowner from pg_class where oid = to_regclass(t)), 'usage') order by 1`

// CheckDatabases reports whether a takeover can begin with these databases; the checks
// in r say what is wrong.
func (l *Ledger) CheckDatabases(ctx context.Context, r *report.Report) (ready bool, err error) {
	repointed, err := l.Began(ctx, "repoint")
	if err != nil {
		return false, err
	}
	wanted := maps.Clone(legacy.NeededColumns)
	if !repointed {
		maps.Copy(wanted, legacy.ReferringColumns)
	}
	missing, err := legacy.Gaps(ctx, l.Legacy, wanted)
	if err != nil {
		return false, err
	}
	names := make([]string, len(missing))
	for i, g := range missing {
		names[i] = g.String()
	}
	r.Check("the legacy database has every table and column that is taken over", len(missing) == 0, "missing (or dropped already): %s", report.List(names))
	encoded, err := l.checkEncoding(ctx, r)
	if err != nil {
		return false, err
	}
	owned, err := l.checkOwner(ctx, r)
	return len(missing) == 0 && encoded && owned, err
}

func (l *Ledger) checkEncoding(ctx context.Context, r *report.Report) (bool, error) {
	var older, operations string
	if err := l.Legacy.QueryRow(ctx, readEncoding).Scan(&older); err != nil {
		return false, err
	}
	if err := l.Operations.QueryRow(ctx, readEncoding).Scan(&operations); err != nil {
		return false, err
	}
	ok := older == "UTF8" && operations == "UTF8"
	r.Check("both databases are encoded in UTF8", ok, "the legacy database in %s, the operations database in %s", older, operations)
	return ok, nil
}

func (l *Ledger) checkOwner(ctx context.Context, r *report.Report) (bool, error) {
	tables := make([]string, len(legacy.RunTables))
	for i, table := range legacy.RunTables {
		tables[i] = table.Name
	}
	older, err := query.Column[string](ctx, l.Legacy, notOurs, tables)
	if err != nil {
		return false, err
	}
	operations, err := query.Column[string](ctx, l.Operations, notOurs, []string{"operation_runs", "takeover_block", "workspace_hold"})
	if err != nil {
		return false, err
	}
	ok := len(older)+len(operations) == 0
	r.Check("the tool may change the tables of both databases", ok,
		"owned by others: %s in the legacy database, %s in the operations database", report.List(older), report.List(operations))
	return ok, nil
}
