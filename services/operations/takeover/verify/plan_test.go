package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/verify"
)

// What is planned is what verify then does; the plan itself watches no table, and
// forgets no write.
func TestAPlannedVerifyChangesNothing(t *testing.T) {
	t.Parallel()
	s := takeovertest.New(t, takeovertest.Awkward)
	s.UpTo("backfill")
	unverified(t, s, verify.Options{Plan: true, All: true})
	s.Do("verify")
	s.Exec("update inventory_sync_runs set status = status where id = 3")
	r := unverified(t, s, verify.Options{Plan: true, Sample: 10})
	require.Equal(t, []any{"inventory_sync_runs", true, int64(1)}, takeovertest.RowOf(t, r, "Writes to notice from then on", "inventory_sync_runs"))
	require.Equal(t, []any{"findings", true, int64(0)}, takeovertest.RowOf(t, r, "Writes to notice from then on", "findings"))
	require.Equal(t, int64(10), takeovertest.RowOf(t, r, "Rows to compare field by field", "restore_runs")[2])
	require.NotEmpty(t, takeovertest.RowOf(t, r, "Samples", "restore_runs", "linked"))

	done := s.Do("verify")
	for _, table := range legacy.Bridged {
		for _, link := range []string{"imported", "linked"} {
			require.Equal(t, takeovertest.RowOf(t, done, "Links by class", table, link), takeovertest.RowOf(t, r, "Rows to compare with their runs", table, link))
		}
	}
}

// unverified plans a verify, and sees to it that nothing is changed by that.
func unverified(t *testing.T, s *takeovertest.Takeover, o verify.Options) *report.Report {
	t.Helper()
	legacy, target := takeovertest.Dump(t, s.LegacyURL), takeovertest.Dump(t, s.OperationsURL)
	r := s.Done(verify.Run(t.Context(), s.Ledger, o))
	require.Equal(t, legacy, takeovertest.Dump(t, s.LegacyURL))
	require.Equal(t, target, takeovertest.Dump(t, s.OperationsURL))
	return r
}
