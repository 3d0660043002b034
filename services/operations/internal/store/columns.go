package store

import (
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// columns list what a statement for many calls is told about each call of type C: one
// array per column. The SQL and its arguments are both built from the list, so they
// cannot disagree about the order. For example, the list
//
//	columns[beginCall]{
//		col("run_id", bigint, func(c *beginCall) int64 { return c.id }),
//		col("holder", text, func(c *beginCall) string { return c.holder }),
//	}
//
// is "unnest($1::bigint[], $2::text[]) as a (run_id, holder)" in SQL, and its arguments
// are the ids of all calls and the holders of all calls.
type columns[C any] []column[C]

// column is one array: its name and type in SQL, and its values.
type column[C any] struct {
	name, sqlType string
	values        func(calls []C) any
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

// col returns the column called name, whose value for a call is value(call). It does
// not compile if PostgreSQL's type does not fit the value.
func col[C, V any](name string, t sqlType[V], value func(*C) V) column[C] {
	return column[C]{name: name, sqlType: string(t), values: func(calls []C) any {
		array := make([]V, len(calls))
		for i := range calls {
			array[i] = value(&calls[i])
		}
		return array
	}}
}

// unnest returns SQL for a table called alias with a row for each call. Its arrays are
// the parameters from $first on.
func (cs columns[C]) unnest(alias string, first int) string {
	return cs.rows(first) + " as " + alias + " (" + cs.names() + ")"
}

// unnestOrdinal is unnest with a last column "ordinal", the number of the call from 1.
func (cs columns[C]) unnestOrdinal(alias string, first int) string {
	return cs.rows(first) + " with ordinality as " + alias + " (" + cs.names() + ", ordinal)"
}

func (cs columns[C]) rows(first int) string {
	params := make([]string, len(cs))
	for i, c := range cs {
		params[i] = param(first+i) + "::" + c.sqlType + "[]"
	}
	return "unnest(" + strings.Join(params, ", ") + ")"
}

func (cs columns[C]) names() string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// param returns parameter n in SQL.
func param(n int) string { return "$" + strconv.Itoa(n) }

// arrays returns the arguments for calls.
func (cs columns[C]) arrays(calls []C) []any {
	arrays := make([]any, len(cs))
	for i, c := range cs {
		arrays[i] = c.values(calls)
	}
	return arrays
}

// ownerColumns tell a statement which service owns a run type, and how many seconds its
// leases last.
var ownerColumns = columns[run.Type]{
	col("type", text, func(t *run.Type) string { return t.Name }),
	col("owner", text, func(t *run.Type) string { return t.Owner }),
	col("lease", float8, func(t *run.Type) float64 { return t.Lease.Seconds() }),
}
