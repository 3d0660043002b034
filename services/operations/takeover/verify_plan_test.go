package takeover

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is planned is what verify then does; the plan itself watches no table, and
// forgets no write.
func TestAPlannedVerifyChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStages(t, awkward)
	s.upTo("backfill")
	s.unverified(VerifyOptions{Plan: true, All: true})
	s.do("verify")
	s.exec("update inventory_sync_runs set status = status where id = 3")
	r := s.unverified(VerifyOptions{Plan: true, Sample: 10})
	require.Equal(t, []any{"inventory_sync_runs", true, int64(1)}, rowOf(t, r, "Writes to notice from then on", "inventory_sync_runs"))
	require.Equal(t, []any{"findings", true, int64(0)}, rowOf(t, r, "Writes to notice from then on", "findings"))
	require.Equal(t, int64(10), rowOf(t, r, "Rows to compare field by field", "restore_runs")[2])
	require.NotEmpty(t, rowOf(t, r, "Samples", "restore_runs", "linked"))

	done := s.do("verify")
	for _, table := range bridged {
		for _, link := range []string{"imported", "linked"} {
			require.Equal(t, rowOf(t, done, "What the links are worth", table, link), rowOf(t, r, "Rows to hold against their runs", table, link))
		}
	}
}

// unverified plans a verify, and sees to it that nothing is changed by that.
func (s *stages) unverified(o VerifyOptions) *Report {
	s.t.Helper()
	legacy, target := dump(s.t, s.legacyURL), dump(s.t, s.targetURL)
	r := s.done(s.tool.Verify(s.t.Context(), o))
	require.Equal(s.t, legacy, dump(s.t, s.legacyURL))
	require.Equal(s.t, target, dump(s.t, s.targetURL))
	return r
}
