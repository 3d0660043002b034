package takeover

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlanningABackfillChangesNothing(t *testing.T) {
	t.Parallel()
	s := adopted(t, 0)
	legacy, target := dump(t, s.legacyURL), dump(t, s.targetURL)
	r := s.backfill(BackfillOptions{Plan: true, History: "import", StaleAfter: daily})
	require.Equal(t, legacy, dump(t, s.legacyURL))
	require.Equal(t, target, dump(t, s.targetURL))
	said := tablesOf(t, r)
	for _, word := range []string{"unlinked", "linked", "dangling", "duplicate", "wizard", "becomes a run"} {
		require.Contains(t, said, word)
	}
}

// What active rows become is planned by the threshold that is told, and so is what
// cannot become a run.
func TestAPlanOfBackfillIsWhatBackfillDoes(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]BackfillOptions{
		"stale rows":  {History: "import", StaleAfter: daily},
		"no patience": {History: "import", StaleAfter: 30 * time.Second},
		"patience":    {History: "import", StaleAfter: 20 * 365 * daily},
		"cut over":    {History: "import", StaleAfter: daily, CutOver: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := adopted(t, 0)
			plan := o
			plan.Plan = true
			r := s.backfill(plan)
			require.Equal(t, "-infinity", value(t, s.tool.legacy, "select stale_before from tenantpilot_takeover.takeover"))
			s.backfill(o)
			for _, source := range sources {
				var active, givenUp int64
				for _, row := range r.Tables[0].Rows {
					if row[0] == source {
						active, givenUp = active+number(row[4]), givenUp+number(row[5])
					}
				}
				const runs = "select count(*) from operation_runs where context #>> '{legacy,source}' = $1 and "
				require.Equal(t, value(t, s.tool.target, runs+"status <> 'completed'", source), fmt.Sprint(active), source)
				require.Equal(t, value(t, s.tool.target, runs+"context #>> '{legacy,notes}' like '%given_up_as_stale%'", source), fmt.Sprint(givenUp), source)
			}
			for _, row := range r.Tables[1].Rows {
				got := value(t, s.tool.target, "select status || ' ' || outcome from operation_runs where id = $1::bigint", fmt.Sprint(row[3]))
				require.Equal(t, got, fmt.Sprintf("%s %s", row[4], row[5]), "%v", row)
			}
		})
	}
}

// number is a cell of a report.
func number(cell any) int64 {
	n, _ := cell.(int64)
	return n
}

func TestAPlanOfBackfillTellsOfRowsWithoutATenant(t *testing.T) {
	t.Parallel()
	s := adopted(t, 0)
	s.exec("delete from tenantpilot_takeover.tenant_map where legacy_id = 2")
	want := value(t, s.tool.legacy, "select count(*) from backup_schedule_runs where tenant_id = 2")
	o := BackfillOptions{Plan: true, History: "import", StaleAfter: daily}
	r, err := s.tool.Backfill(t.Context(), o)
	require.ErrorIs(t, err, errNotPassed)
	require.Contains(t, failing(r), want+" have none")
	require.NotEqual(t, "0", want)
	var told int64
	for _, row := range r.Tables[0].Rows {
		if row[0] == "backup_schedule_runs" {
			told += number(row[6])
		}
	}
	require.Equal(t, want, fmt.Sprint(told))
}
