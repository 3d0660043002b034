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
