package backfill_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/backfill"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func TestLinksAreWorthWhatTheyName(t *testing.T) {
	t.Parallel()
	for _, offset := range []int64{0, 50_000_000} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			t.Parallel()
			s := takeovertest.Adopted(t, offset)
			s.Exec("alter table restore_runs drop constraint restore_runs_operation_run_id_foreign")
			s.Exec("update restore_runs set operation_run_id = 999999 where id = 9")
			s.Exec("update restore_runs set operation_run_id = 1 where id = 10") // an inventory sync
			links := s.Links("restore_runs")
			for row, want := range map[string]string{
				"1": "wizard", "6": "unlinked", "9": "dangling", "10": "mismatched", "100": "linked", "101": "linked", "102": "duplicate", "103": "linked",
			} {
				require.Equal(t, want, links[row], "row %s", row)
			}
			s.Backfill(backfill.Options{History: "import", StaleAfter: takeovertest.Day})
			links = s.Links("restore_runs")
			for row, want := range map[string]string{
				"1": "wizard", "6": "imported", "9": "imported", "10": "imported", "100": "linked", "101": "linked", "102": "imported", "103": "linked",
			} {
				require.Equal(t, want, links[row], "row %s", row)
			}
			require.Equal(t, fmt.Sprint(offset+9), takeovertest.Value(t, s.Legacy, "select operation_run_id from restore_runs where id = 100"))
			require.Equal(t, "10", takeovertest.Value(t, s.Legacy, "select operation_run_id from tenantpilot_takeover.saved_bridge where source = 'restore_runs' and id = 102"))
		})
	}
}

func TestALinkIsToARunOfTheRowsTenant(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 50_000_000)
	links := s.Links("restore_runs")
	require.Equal(t, []string{"linked", "duplicate"}, []string{links["101"], links["102"]})
	s.Exec("update restore_runs set tenant_id = 2 where id = 101")
	links = s.Links("restore_runs")
	require.Equal(t, []string{"mismatched", "linked"}, []string{links["101"], links["102"]}, "a row of another tenant takes no run away")
	s.Exec("update tenantpilot_takeover.tenant_map m set tenant_id = one.tenant_id from tenantpilot_takeover.tenant_map one where one.legacy_id = 1 and m.legacy_id = 2")
	links = s.Links("restore_runs")
	require.Equal(t, []string{"linked", "duplicate"}, []string{links["101"], links["102"]}, "two tenants became one")
}

func TestALinkedHistoryKeepsValidLinksOnly(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 50_000_000)
	target := takeovertest.Value(t, s.Operations, "select count(*) from operation_runs")
	before := s.Links("inventory_sync_runs")
	s.Backfill(backfill.Options{History: "link", StaleAfter: takeovertest.Day})
	require.Equal(t, target, takeovertest.Value(t, s.Operations, "select count(*) from operation_runs"))
	for row, now := range s.Links("inventory_sync_runs") {
		want := before[row]
		if want != "linked" {
			want = "unlinked"
		}
		require.Equal(t, want, now, "row %s was %s", row, before[row])
	}
	require.Equal(t, "0", takeovertest.Value(t, s.Legacy, "select count(*) from inventory_sync_runs where operation_run_id < 50000000"))
}
