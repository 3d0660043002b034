package backfill_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/backfill"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/report"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func TestPlanningABackfillChangesNothing(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	legacy, target := takeovertest.Dump(t, s.LegacyURL), takeovertest.Dump(t, s.OperationsURL)
	r := s.Backfill(backfill.Options{Plan: true, History: "import", StaleAfter: takeovertest.Day})
	require.Equal(t, legacy, takeovertest.Dump(t, s.LegacyURL))
	require.Equal(t, target, takeovertest.Dump(t, s.OperationsURL))
	said := takeovertest.TablesOf(t, r)
	for _, word := range []string{"unlinked", "linked", "dangling", "duplicate", "wizard", "becomes a run"} {
		require.Contains(t, said, word)
	}
}

// A plan with --stale-after and --cut-over is what backfill then does with them.
func TestAPlanOfBackfillIsWhatBackfillDoes(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]backfill.Options{
		"stale rows":  {History: "import", StaleAfter: takeovertest.Day},
		"no patience": {History: "import", StaleAfter: 30 * time.Second},
		"patience":    {History: "import", StaleAfter: 20 * 365 * takeovertest.Day},
		"cut over":    {History: "import", StaleAfter: takeovertest.Day, CutOver: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := takeovertest.Adopted(t, 0)
			plan := o
			plan.Plan = true
			r := s.Backfill(plan)
			require.Equal(t, "-infinity", takeovertest.Value(t, s.Legacy, "select stale_before from tenantpilot_takeover.takeover"))
			s.Backfill(o)
			for _, source := range legacy.Sources {
				var active, givenUp int64
				for _, row := range r.Tables[0].Rows {
					if row[0] == source {
						active, givenUp = active+number(row[4]), givenUp+number(row[5])
					}
				}
				const runs = "select count(*) from operation_runs where context #>> '{legacy,source}' = $1 and "
				require.Equal(t, takeovertest.Value(t, s.Operations, runs+"status <> 'completed'", source), fmt.Sprint(active), source)
				require.Equal(t, takeovertest.Value(t, s.Operations, runs+"context #>> '{legacy,notes}' like '%given_up_as_stale%'", source), fmt.Sprint(givenUp), source)
			}
			for _, row := range r.Tables[1].Rows {
				got := takeovertest.Value(t, s.Operations, "select status || ' ' || outcome from operation_runs where id = $1::bigint", fmt.Sprint(row[3]))
				require.Equal(t, got, fmt.Sprintf("%s %s", row[4], row[5]), "%v", row)
			}
		})
	}
}

// number returns a cell of a report as a number.
func number(cell any) int64 {
	n, _ := cell.(int64)
	return n
}

func TestAPlanOfBackfillTellsOfRowsWithoutATenant(t *testing.T) {
	t.Parallel()
	s := takeovertest.Adopted(t, 0)
	s.Exec("delete from tenantpilot_takeover.tenant_map where legacy_id = 2")
	want := takeovertest.Value(t, s.Legacy, "select count(*) from backup_schedule_runs where tenant_id = 2")
	o := backfill.Options{Plan: true, History: "import", StaleAfter: takeovertest.Day}
	r, err := backfill.Run(t.Context(), s.Ledger, o)
	require.ErrorIs(t, err, report.ErrNotPassed)
	require.Contains(t, takeovertest.Failing(r), want+" have none")
	require.NotEqual(t, "0", want)
	var told int64
	for _, row := range r.Tables[0].Rows {
		if row[0] == "backup_schedule_runs" {
			told += number(row[6])
		}
	}
	require.Equal(t, want, fmt.Sprint(told))
}
