package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// dump is what pg_dump writes of a database, with rows and columns in a fixed order: a column
// that was dropped and comes back is the last one of its table.
type dump struct {
	schema string
	tables map[string][]string // sorted rows; a row is its columns by name
}

// dumpOf dumps a database. Value, if given, replaces values of columns.
func dumpOf(t *testing.T, db *pgtest.DB, value func(table, column, value string) string, flags ...string) dump {
	t.Helper()
	bin, err := server.Find()
	require.NoError(t, err)
	var complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), append(flags, "--no-owner", "--dbname="+db.OwnerURL)...) //nolint:gosec // a program of PostgreSQL
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	require.NoError(t, err, "%s", complaints.String())
	return parseDump(string(out), value)
}

func parseDump(text string, value func(table, column, value string) string) dump {
	d := dump{tables: map[string][]string{}}
	var schema, columns []string
	var table string
	var inTable bool
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case table != "" && line == `\.`:
			slices.Sort(d.tables[table])
			table = ""
		case table != "":
			d.tables[table] = append(d.tables[table], rowOf(table, columns, line, value))
		case strings.HasPrefix(line, "COPY "):
			table, columns = copied(line)
			d.tables[table] = []string{}
		case strings.HasPrefix(line, "CREATE TABLE "):
			inTable, columns = true, nil
			schema = append(schema, line)
		case inTable && strings.HasPrefix(line, ")"):
			slices.Sort(columns)
			inTable, schema = false, append(append(schema, columns...), line)
		case inTable:
			columns = append(columns, strings.TrimSuffix(line, ","))
		case line != "" && !strings.HasPrefix(line, "--") && !strings.HasPrefix(line, `\`):
			schema = append(schema, line)
		}
	}
	d.schema = strings.Join(schema, "\n")
	return d
}

// copied parses COPY public.t (a, b) FROM stdin;
func copied(line string) (table string, columns []string) {
	head, rest, _ := strings.Cut(strings.TrimPrefix(line, "COPY "), " (")
	list, _, _ := strings.Cut(rest, ") FROM")
	return strings.TrimPrefix(head, "public."), strings.Split(list, ", ")
}

func rowOf(table string, columns []string, line string, value func(table, column, value string) string) string {
	cells := strings.Split(line, "\t")
	for i, column := range columns {
		if value != nil {
			cells[i] = value(table, column, cells[i])
		}
		cells[i] = column + "=" + cells[i]
	}
	slices.Sort(cells)
	return strings.Join(cells, " ")
}

// same fails the test unless two dumps are equal, and shows how they differ.
func (d dump) same(t *testing.T, want dump, why string, args ...any) {
	t.Helper()
	why = fmt.Sprintf(why, args...)
	require.Equal(t, want.schema, d.schema, why)
	d.sameRows(t, want, why)
}

func (d dump) sameRows(t *testing.T, want dump, why string) {
	t.Helper()
	require.Equal(t, slices.Sorted(maps.Keys(want.tables)), slices.Sorted(maps.Keys(d.tables)), why)
	for table, rows := range want.tables {
		missing, more := differences(rows, d.tables[table])
		require.True(t, len(missing)+len(more) == 0, "%s: %s has %d rows, %d of them not expected, %d missing. Not expected:\n%s\nMissing:\n%s", why, table,
			len(d.tables[table]), len(more), len(missing), strings.Join(more[:min(5, len(more))], "\n"), strings.Join(missing[:min(5, len(missing))], "\n"))
	}
}

// differences returns the items that only one of two sorted lists has.
func differences(want, got []string) (missing, more []string) {
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			missing, want = append(missing, want[0]), want[1:]
		case len(want) == 0 || got[0] < want[0]:
			more, got = append(more, got[0]), got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return missing, more
}

// block is the ids reserved for the runs of a legacy table.
type block struct {
	Source     string
	Last, Base int64
}

// blocks returns the ids that adopt has reserved; none after a rollback.
func (m *move) blocks(t *testing.T) []block {
	t.Helper()
	return all[block](t, connect(t, m.ops), "select source, last_legacy_id, base from takeover_block order by base")
}

// legacyDump dumps everything of the older installation. With blocks, runs are named by their
// legacy rows, since their ids depend on the runs that existed before adopt.
func (m *move) legacyDump(t *testing.T, blocks []block) dump {
	t.Helper()
	return dumpOf(t, m.legacy, func(_, column, value string) string {
		if strings.HasSuffix(column, "operation_run_id") {
			return rowName(blocks, value)
		}
		return value
	}, "--exclude-schema=tenantpilot_takeover")
}

// runsDump dumps all runs and what belongs to them, named in the same way. It leaves out the
// tables of the takeover and of migrations, and those that services change by the clock.
func (m *move) runsDump(t *testing.T, blocks []block) dump {
	t.Helper()
	d := dumpOf(t, m.ops, func(table, column, value string) string {
		if column == "run_id" || column == "id" && table == "operation_runs" {
			return rowName(blocks, value)
		}
		return value
	}, "--data-only", "--exclude-table=goose_db_version", "--exclude-table=takeover", "--exclude-table=takeover_block",
		"--exclude-table=run_stat_fold", "--exclude-table=retention_status")
	d.schema = "" // it holds the values of sequences
	return d
}

// rowName returns the legacy row that a run was made of.
func rowName(blocks []block, id string) string {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return id // null
	}
	for _, b := range blocks {
		if n > b.Base && n <= b.Base+b.Last {
			return fmt.Sprintf("%s/%d", b.Source, n-b.Base)
		}
	}
	return id
}
