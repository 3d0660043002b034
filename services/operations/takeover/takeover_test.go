package takeover_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/fixture"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
)

func TestWhatIsKilledAnywhereEndsAsIfItWereNot(t *testing.T) {
	t.Parallel()
	o := fixture.Options{Memberships: true, Now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}
	calm, s := takeovertest.New(t, o), takeovertest.New(t, o)
	atFirst, runsAtFirst := s.LegacyPortrait(), s.TargetPortrait()
	for _, each := range []*takeovertest.Takeover{calm, s} {
		each.Exec("update tenantpilot_takeover.takeover set created_at = $1", o.Now) // rows without any time get this one
		each.Do("adopt")
	}
	for _, stage := range []string{"backfill", "verify", "repoint", "verify again", "drop", "rollback to repoint", "rollback to verify"} {
		calm.Do(stage)
		step := 1
		if strings.HasPrefix(stage, "verify") {
			step = 9 // it takes long, and changes little
		}
		s.KilledAnywhere(stage, step)
		takeovertest.SameLines(t, calm.LegacyPortrait(), s.LegacyPortrait())
		takeovertest.SameLines(t, calm.TargetPortrait(), s.TargetPortrait())
		takeovertest.SameLines(t, stateOf(t, calm), stateOf(t, s))
	}
	for _, stage := range []string{"verify", "repoint", "verify again", "drop"} {
		s.Do(stage)
	}
	s.KilledAnywhere("rollback to adopt", 3)
	s.Do("rollback to analyse")
	takeovertest.SameLines(t, atFirst, s.LegacyPortrait())
	takeovertest.SameLines(t, runsAtFirst, s.TargetPortrait())
}

// stateOf returns the ledger of a takeover, without times.
func stateOf(t *testing.T, s *takeovertest.Takeover) string {
	return takeovertest.WithoutSequences(takeovertest.Dump(t, s.LegacyURL, "--data-only", "--schema=tenantpilot_takeover",
		"--exclude-table-data=*.takeover", "--exclude-table-data=*.stage",
		"--exclude-table-data=*.dropped", "--exclude-table-data=*.write_seen"))
}
