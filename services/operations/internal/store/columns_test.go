package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

func TestColumnsAreSQLAndItsArguments(t *testing.T) {
	t.Parallel()
	require.Equal(t, "unnest($7::text[], $8::text[], $9::float8[]) as o (type, owner, lease)", ownerColumns.unnest("o", 7))
	require.Equal(t, "unnest($1::bigint[], $2::text[], $3::text[]) with ordinality as a (run_id, holder, service, ordinal)",
		beginColumns.unnestOrdinal("a", 1))
	types := []run.Type{{Name: "a", Owner: "x", Lease: 2 * time.Second}, {Name: "b", Owner: "y", Lease: time.Minute}}
	require.Equal(t, []any{[]string{"a", "b"}, []string{"x", "y"}, []float64{2, 60}}, ownerColumns.arrays(types))
}
