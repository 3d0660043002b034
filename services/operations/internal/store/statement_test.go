package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

func TestAStatementNumbersItsParametersInTheOrderOfItsArguments(t *testing.T) {
	t.Parallel()
	type input struct {
		types []run.Type
		calls []beginCall
		limit int64
	}
	var owners, calls table
	var limit string
	s := build(func(b *builder[input]) string {
		owners = rowsOf(b, ownerColumns, func(in input) []run.Type { return in.types })
		limit = valueOf(b, bigint, func(in input) int64 { return in.limit })
		calls = rowsOf(b, beginColumns, func(in input) []beginCall { return in.calls })
		return "the text"
	})
	require.Equal(t, "the text", s.text)
	require.Equal(t, "unnest($1::text[], $2::text[], $3::float8[]) as o (type, owner, lease)", owners.as("o"))
	require.Equal(t, "$4::bigint", limit)
	require.Equal(t, "unnest($5::bigint[], $6::text[], $7::text[]) with ordinality as a (run_id, holder, service, ordinal)", calls.withOrdinal("a"))
	in := input{
		types: []run.Type{{Name: "a", Owner: "x", Lease: 2 * time.Second}, {Name: "b", Owner: "y", Lease: time.Minute}},
		calls: []beginCall{{service: "x", holder: "us", id: 7}}, limit: 9,
	}
	require.Equal(t, []any{[]string{"a", "b"}, []string{"x", "y"}, []float64{2, 60}, int64(9), []int64{7}, []string{"us"}, []string{"x"}}, s.arguments(in))
}
