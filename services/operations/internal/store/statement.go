package store

import (
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// statement is SQL whose arguments come from an input of type I. A parameter gets its
// number and its argument in the same call of [rowsOf] or [valueOf], so the text and the
// arguments cannot disagree. For example
//
//	build(func(b *builder[input]) string {
//		a := rowsOf(b, beginColumns, func(in input) []beginCall { return in.calls })
//		limit := valueOf(b, bigint, func(in input) int64 { return in.limit })
//		return `select run_id from ` + a.as("a") + ` limit ` + limit
//	})
//
// has an array for each of beginColumns as $1 to $3, and in.limit as $4.
type statement[I any] struct {
	text string
	args []func(I) any // the argument of $1, of $2, …
}

// builder collects the arguments of a statement while its text is written.
type builder[I any] struct{ args []func(I) any }

func build[I any](write func(b *builder[I]) string) statement[I] {
	var b builder[I]
	written := write(&b)
	return statement[I]{text: written, args: b.args}
}

// arguments returns the arguments of the statement for in.
func (s *statement[I]) arguments(in I) []any {
	args := make([]any, len(s.args))
	for i, arg := range s.args {
		args[i] = arg(in)
	}
	return args
}

// add adds a parameter, and returns it in SQL.
func (b *builder[I]) add(sqlType string, arg func(I) any) string {
	b.args = append(b.args, arg)
	return "$" + strconv.Itoa(len(b.args)) + "::" + sqlType
}

// valueOf adds a parameter for one value of the input, and returns it in SQL.
func valueOf[I, V any](b *builder[I], t sqlType[V], value func(I) V) string {
	return b.add(string(t), func(in I) any { return value(in) })
}

// table is a table of parameters in SQL.
type table struct{ unnest, names string }

// rowsOf adds a parameter for each column of rows of the input.
func rowsOf[I, R any](b *builder[I], cs columns[R], rows func(I) []R) table {
	params := make([]string, len(cs))
	for i, c := range cs {
		params[i] = b.add(c.sqlType+"[]", func(in I) any { return c.values(rows(in)) })
	}
	return table{unnest: "unnest(" + strings.Join(params, ", ") + ")", names: cs.names()}
}

// as returns the table under an alias.
func (t table) as(alias string) string { return t.unnest + " as " + alias + " (" + t.names + ")" }

// withOrdinal is as, with a last column "ordinal": the number of the row, from 1.
func (t table) withOrdinal(alias string) string {
	return t.unnest + " with ordinality as " + alias + " (" + t.names + ", ordinal)"
}

// ownedCalls is the input of a statement for calls about runs: each call has a column
// "service", and may only move runs of that service's types.
type ownedCalls[C any] struct {
	calls []C
	types []run.Type
}

// buildOwned builds a statement for calls. The text begins with the table "a" of a row for
// each call and each type of its service, with the call's columns, ordinal, type and lease.
func buildOwned[C any](name string, calls columns[C], sql string) statement[ownedCalls[C]] {
	return build(func(b *builder[ownedCalls[C]]) string {
		a := rowsOf(b, calls, func(in ownedCalls[C]) []C { return in.calls })
		o := rowsOf(b, ownerColumns, func(in ownedCalls[C]) []run.Type { return in.types })
		return `-- store.` + name + `
	with a as (
		select a.*, o.type, o.lease
		from ` + a.withOrdinal("a") + `
		join ` + o.as("o") + ` on o.owner = a.service
	)` + sql
	})
}

// columns are the columns of a table that a [statement] gets as arrays, one per column.
// Each row of the table is made of an R: a call, or a run type. For example, the columns
//
//	columns[beginCall]{
//		col("run_id", bigint, func(c *beginCall) int64 { return c.id }),
//		col("holder", text, func(c *beginCall) string { return c.holder }),
//	}
//
// are "unnest($1::bigint[], $2::text[]) as a (run_id, holder)" in SQL, and their
// arguments are the ids of all calls and the holders of all calls.
//
// A column's name, type and value stand in one line. The compiler does not notice an
// accessor of the wrong field of the same type, such as the id for the epoch: both are
// int64 in all of the service and in its protos, and a type of its own for one of them
// would be converted at each of those places. The tests of the api room notice it.
type columns[R any] []column[R]

// column is one array: its name and type in SQL, and its values.
type column[R any] struct {
	name, sqlType string
	values        func(rows []R) any
}

// sqlType is a type of PostgreSQL whose values are of type V in Go.
type sqlType[V any] string

const (
	bigint         sqlType[int64]   = "bigint"
	nullableBigint sqlType[*int64]  = "bigint"
	integer        sqlType[int]     = "int"
	text           sqlType[string]  = "text"
	bytea          sqlType[[]byte]  = "bytea"
	float8         sqlType[float64] = "float8"
)

// col returns the column called name, whose value in a row is value(row). It does not
// compile if PostgreSQL's type does not fit the value.
func col[R, V any](name string, t sqlType[V], value func(*R) V) column[R] {
	return column[R]{name: name, sqlType: string(t), values: func(rows []R) any {
		array := make([]V, len(rows))
		for i := range rows {
			array[i] = value(&rows[i])
		}
		return array
	}}
}

func (cs columns[R]) names() string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// ownerColumns tell a statement which service owns a run type, and how many seconds its
// leases last.
var ownerColumns = columns[run.Type]{
	col("type", text, func(t *run.Type) string { return t.Name }),
	col("owner", text, func(t *run.Type) string { return t.Owner }),
	col("lease", float8, func(t *run.Type) float64 { return t.Lease.Seconds() }),
}
