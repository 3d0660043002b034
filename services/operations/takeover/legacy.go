package takeover

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
)

// canonicalRuns is the legacy table of runs that are canonical already.
const canonicalRuns = "operation_runs"

// runTable is what the tool must know of a legacy table of runs to count in it.
type runTable struct {
	name      string
	canonical string // the type its rows become; empty: each has its own
	ended     string // column with the end
	user      string // column that refers to users; empty: none
	wizard    bool   // rows in the wizard's states are no runs
	documents []document
}

// document is a column with JSON in it.
type document struct {
	column string
	shapes []string // what json_typeof may say
	text   bool     // kept as text, which may hold what jsonb cannot
}

var runTables = []runTable{
	{
		name: "inventory_sync_runs", canonical: "inventory_sync", ended: "finished_at", user: "user_id",
		documents: []document{
			{column: "error_codes", shapes: []string{"array"}},
			{column: "selection_payload", shapes: []string{"object", "array"}},
			{column: "error_context", shapes: []string{"object", "array"}},
		},
	},
	{
		name: "entra_group_sync_runs", canonical: "entra_group_sync", ended: "finished_at", user: "initiator_user_id",
	},
	{
		name: "backup_schedule_runs", canonical: "backup_schedule_run", ended: "finished_at", user: "user_id",
		documents: []document{{column: "summary", shapes: []string{"object"}, text: true}},
	},
	{
		name: "restore_runs", canonical: "restore_execute", ended: "completed_at", wizard: true,
		documents: []document{{column: "results", shapes: []string{"object", "array"}, text: true}},
	},
	{
		name: canonicalRuns, ended: "completed_at", user: "user_id",
		documents: []document{
			{column: "summary_counts", shapes: []string{"object"}},
			{column: "failure_summary", shapes: []string{"array"}},
			{column: "context", shapes: []string{"object"}},
		},
	},
}

// in puts the names of t into a statement: {table}, {ended}, {user}.
func (t runTable) in(sql string) string {
	return strings.NewReplacer("{table}", t.name, "{ended}", t.ended, "{user}", t.user).Replace(sql)
}

// legacyColumns are those without which the tool cannot work, by table.
var legacyColumns = map[string]string{
	"workspaces": "id name",
	"users":      "id name email",
	"tenants":    "id workspace_id name external_id",
	canonicalRuns: "id workspace_id tenant_id user_id initiator_name type status outcome run_identity_hash summary_counts failure_summary context " +
		"started_at completed_at created_at updated_at",
	"inventory_sync_runs": "id tenant_id selection_hash status error_codes started_at finished_at items_observed_count items_upserted_count " +
		"errors_count operation_run_id created_at updated_at",
	"entra_group_sync_runs": "id tenant_id selection_key slot_key status error_code error_category error_summary safety_stop_triggered safety_stop_reason " +
		"pages_fetched items_observed_count items_upserted_count error_count initiator_user_id started_at finished_at operation_run_id created_at updated_at",
	"backup_schedule_runs": "id backup_schedule_id tenant_id scheduled_for started_at finished_at status summary error_code error_message " +
		"backup_set_id operation_run_id created_at updated_at",
	"restore_runs": "id tenant_id backup_set_id requested_by status results started_at completed_at operation_run_id created_at updated_at",
}

// referringColumns are those that repoint takes away.
var referringColumns = map[string]string{
	"findings":        "id baseline_run_id current_run_id",
	"inventory_items": "id last_seen_run_id",
}

// lateColumns came with later versions of the older TenantPilot, and count as empty
// where they are missing.
var lateColumns = map[string]string{
	"tenants":              "domain deleted_at",
	"inventory_sync_runs":  "user_id selection_payload error_context",
	"backup_schedule_runs": "user_id",
	"restore_runs":         "is_dry_run failure_reason deleted_at",
}

const missingColumns = `-- takeover.missingColumns
	select w.t, to_regclass(w.t) is null, array_agg(w.c order by w.place)
	from unnest($1::text[], $2::text[]) with ordinality w(t, c, place)
	where not exists (select from pg_attribute a
		where a.attrelid = to_regclass(w.t) and a.attname = w.c and a.attnum > 0 and not a.attisdropped)
	group by 1, 2 order by 1`

// gap is what a legacy database lacks.
type gap struct {
	Table   string
	All     bool // the whole table
	Columns []string
}

func (g gap) String() string {
	if g.All {
		return "table " + g.Table
	}
	return fmt.Sprintf("%s.%s", g.Table, strings.Join(g.Columns, ", ."))
}

// gaps answers what the legacy database lacks of columns.
func (t *Tool) gaps(ctx context.Context, columns map[string]string) ([]gap, error) {
	var tables, names []string
	for table, list := range columns {
		for name := range strings.FieldsSeq(list) {
			tables, names = append(tables, table), append(names, name)
		}
	}
	return collect[gap](ctx, t.legacy, missingColumns, tables, names)
}

const readEncoding = `-- takeover.readEncoding
	select pg_encoding_to_char(encoding) from pg_database where datname = current_database()`

const notOurs = `-- takeover.notOurs
	select t from unnest($1::text[]) t
	where not pg_has_role(current_user, (select relowner from pg_class where oid = to_regclass(t)), 'usage') order by 1`

const stageBegan = `-- takeover.stageBegan
	select exists (select from tenantpilot_takeover.stage where name = $1)`

// checkDatabases reports whether the databases are what a takeover can begin with;
// the checks in r say what is wrong.
func (t *Tool) checkDatabases(ctx context.Context, r *Report) (ready bool, err error) {
	var repointed bool
	if err := t.legacy.QueryRow(ctx, stageBegan, "repoint").Scan(&repointed); err != nil {
		return false, err
	}
	wanted := maps.Clone(legacyColumns)
	if !repointed {
		maps.Copy(wanted, referringColumns)
	}
	missing, err := t.gaps(ctx, wanted)
	if err != nil {
		return false, err
	}
	said := make([]string, len(missing))
	for i, g := range missing {
		said[i] = g.String()
	}
	r.check("the legacy database has every table and column that is taken over", len(missing) == 0, "missing (or dropped already): %s", orNone(said))
	encoded, err := t.checkEncoding(ctx, r)
	if err != nil {
		return false, err
	}
	owned, err := t.checkOwner(ctx, r)
	return len(missing) == 0 && encoded && owned, err
}

func (t *Tool) checkEncoding(ctx context.Context, r *Report) (bool, error) {
	var legacy, target string
	if err := t.legacy.QueryRow(ctx, readEncoding).Scan(&legacy); err != nil {
		return false, err
	}
	if err := t.target.QueryRow(ctx, readEncoding).Scan(&target); err != nil {
		return false, err
	}
	ok := legacy == "UTF8" && target == "UTF8"
	r.check("both databases are encoded in UTF8", ok, "the legacy database in %s, the operations database in %s", legacy, target)
	return ok, nil
}

func (t *Tool) checkOwner(ctx context.Context, r *Report) (bool, error) {
	tables := make([]string, len(runTables))
	for i, table := range runTables {
		tables[i] = table.name
	}
	legacy, err := texts(ctx, t.legacy, notOurs, tables)
	if err != nil {
		return false, err
	}
	target, err := texts(ctx, t.target, notOurs, []string{"operation_runs", "takeover_block", "workspace_hold"})
	if err != nil {
		return false, err
	}
	ok := len(legacy)+len(target) == 0
	r.check("the tool may change the tables of both databases", ok,
		"owned by others: %s in the legacy database, %s in the operations database", orNone(legacy), orNone(target))
	return ok, nil
}

// listed bounds how much of a list is said in a sentence.
const listed = 20

func orNone(list []string) string {
	switch {
	case len(list) == 0:
		return "none"
	case len(list) > listed:
		return fmt.Sprintf("%s and %d more", strings.Join(list[:listed], ", "), len(list)-listed)
	}
	return strings.Join(list, ", ")
}

func texts(ctx context.Context, q querier, sql string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
