package store

import (
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

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
