package takeovertest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/drop"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/query"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
)

// Failing returns the checks that do not hold.
func Failing(r *report.Report) string {
	var failed []string
	for _, c := range r.Checks {
		if !c.Passed {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	return strings.Join(failed, "\n")
}

// Finding returns the finding with a code, a zero one if there is none.
func Finding(r *report.Report, code, source string) report.Finding {
	for _, f := range r.Findings {
		if f.Code == code && f.Source == source {
			return f
		}
	}
	return report.Finding{}
}

// One returns the one value that a statement selects.
func One[T any](t *testing.T, db *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return v
}

// State returns everything that both databases and tenancy hold, except when stages ran.
func (s *Takeover) State() string {
	s.t.Helper()
	return rowsOf(s.t, s.Legacy) + rowsOf(s.t, s.Operations) + fmt.Sprint(s.Registry.Known)
}

// rowsOf returns every row of every table, and the values of sequences.
func rowsOf(t *testing.T, db *pgxpool.Pool) string {
	t.Helper()
	const tables = `select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables
		where schemaname not in ('pg_catalog', 'information_schema') and schemaname !~ '^pg_' and tablename <> 'stage' order by 1`
	names, err := query.Column[string](t.Context(), db, tables)
	require.NoError(t, err)
	var all strings.Builder
	for _, name := range names {
		rows, err := query.Column[string](t.Context(), db, "select t::text from "+name+" t order by 1")
		require.NoError(t, err)
		fmt.Fprintf(&all, "%s: %s\n", name, strings.Join(rows, "\n"))
	}
	sequences, err := query.Column[string](t.Context(), db, "select format('%s %s', sequencename, last_value) from pg_sequences order by 1")
	require.NoError(t, err)
	return all.String() + strings.Join(sequences, "\n") + "\n"
}

// RowOf returns the row of a report's table that begins with these words.
func RowOf(t *testing.T, r *report.Report, title string, words ...string) []any {
	t.Helper()
	for _, table := range r.Tables {
		for _, row := range table.Rows {
			if table.Title == title && fmt.Sprint(row[:len(words)]) == fmt.Sprint(words) {
				return row
			}
		}
	}
	require.Fail(t, "no such row", "%s: %v in %v", title, words, r.Tables)
	return nil
}

// TablesOf returns the tables of a report as JSON.
func TablesOf(t *testing.T, r *report.Report) string {
	t.Helper()
	said, err := json.Marshal(r.Tables)
	require.NoError(t, err)
	return string(said)
}

// Links returns the link classes of a source, by row.
func (s *Takeover) Links(source string) map[string]string {
	s.t.Helper()
	var links map[string]string
	sql := legacy.In(source, "select jsonb_object_agg(legacy_id, link) from tenantpilot_takeover.link_{source}")
	require.NoError(s.t, s.Legacy.QueryRow(s.t.Context(), sql).Scan(&links))
	return links
}

// Connect connects as another user of the legacy database.
func (s *Takeover) Connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.LegacyURL)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Column returns a column of a table by row; nil is null.
func (s *Takeover) Column(table, column string) map[int64]*int64 {
	s.t.Helper()
	rows, err := s.Legacy.Query(s.t.Context(), "select id, "+column+" from "+table)
	require.NoError(s.t, err)
	out := map[int64]*int64{}
	var id int64
	var v *int64
	_, err = pgx.ForEachRow(rows, []any{&id, &v}, func() error {
		out[id], v = v, nil
		return nil
	})
	require.NoError(s.t, err)
	return out
}

// RunExists reports whether the operations database has a run.
func (s *Takeover) RunExists(id *int64) bool {
	return id != nil && Value(s.t, s.Operations, "select id from operation_runs where id = $1", *id) != "null"
}

// Has reports whether a table of the legacy database has a column.
func (s *Takeover) Has(table, column string) bool {
	s.t.Helper()
	there, err := query.HasColumn(s.t.Context(), s.Legacy, table, column)
	require.NoError(s.t, err)
	return there
}

// WriteFor repeats a statement for a while, and returns the longest time that one took.
func (s *Takeover) WriteFor(conn *pgx.Conn, d time.Duration, sql string) (longest time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		_, err := conn.Exec(s.t.Context(), sql)
		require.NoError(s.t, err)
		longest = max(longest, time.Since(began))
	}
	return longest
}

const rowColumns = `select string_agg(quote_ident(attname), ', ' order by attnum)
	from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped`

// Tamper changes one row of a table without firing its triggers, and returns a function that
// undoes it.
func Tamper(t *testing.T, db *pgxpool.Pool, table, id, set string) (restore func()) {
	t.Helper()
	run := func(statements ...string) {
		t.Helper()
		_, err := db.Exec(t.Context(), strings.Join(statements, ";\n"))
		require.NoError(t, err, statements)
	}
	off, on := "alter table "+table+" disable trigger user", "alter table "+table+" enable trigger user"
	columns := Value(t, db, rowColumns, table)
	run("create table kept as select * from "+table+" where id = "+id, off, "update "+table+" set "+set+" where id = "+id, on)
	require.Equal(t, "1", Value(t, db, "select count(*) from kept"), "%s has no row %s", table, id)
	return func() {
		t.Helper()
		run(off, "update "+table+" t set ("+columns+") = (select "+columns+" from kept) where id = "+id, on, "drop table kept")
	}
}

// RowOf returns the first row of a source that became a run of its own and succeeded.
func (s *Takeover) RowOf(source string) string {
	s.t.Helper()
	return Value(s.t, s.Legacy, "select min(legacy_id) from tenantpilot_takeover.mapped_"+source+
		" where link in ('imported', 'adopt') and outcome = 'succeeded' and tenant_id is not null and started_at is not null and completed_at is not null")
}

// RunOf returns the run that a row became.
func (s *Takeover) RunOf(source, id string) string {
	s.t.Helper()
	return Value(s.t, s.Legacy, "select base + "+id+" from tenantpilot_takeover.run_block where source = $1", source)
}

// WithSnapshot are the options of a drop that its gates let pass.
var WithSnapshot = drop.Options{Snapshot: "before-the-takeover"}

// Gated asserts that drop does not pass because of the check named, and that nothing is
// archived.
func (s *Takeover) Gated(o drop.Options, check string) {
	s.t.Helper()
	r, err := drop.Run(s.t.Context(), s.Ledger, o)
	require.ErrorIs(s.t, err, report.ErrNotPassed)
	require.Contains(s.t, Failing(r), check)
	for _, table := range legacy.Droppable {
		require.Equal(s.t, table, Value(s.t, s.Legacy, "select to_regclass($1)", table))
	}
}
