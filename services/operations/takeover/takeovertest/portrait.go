package takeovertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
)

// LegacyPortrait returns everything in the legacy database except the ledger, with rows and
// columns in a fixed order.
func (s *Takeover) LegacyPortrait() string {
	s.t.Helper()
	moved := []string{"--table=findings", "--table=inventory_items"}
	parts := []string{
		Dump(s.t, s.LegacyURL, "--schema=public", "--exclude-table=findings", "--exclude-table=inventory_items"),
		Dump(s.t, s.LegacyURL, append(moved, "--schema-only")...),
	}
	for _, table := range legacy.ReferringTables {
		parts = append(parts, Value(s.t, s.Legacy, "select string_agg(to_jsonb(t)::text, E'\n' order by id) from "+table+" t"))
	}
	return sorted(strings.Join(parts, "\n"))
}

// TargetPortrait returns everything in the operations database except the values of
// sequences and the id of the takeover.
func (s *Takeover) TargetPortrait() string {
	s.t.Helper()
	return WithoutSequences(Dump(s.t, s.OperationsURL, "--exclude-table-data=takeover", "--exclude-table-data=goose_db_version"))
}

// WithoutSequences returns a sorted dump without the values of sequences.
func WithoutSequences(dump string) string {
	lines := slices.DeleteFunc(strings.Split(dump, "\n"), func(line string) bool { return strings.Contains(line, "pg_catalog.setval") })
	return sorted(strings.Join(lines, "\n"))
}

func sorted(dump string) string {
	lines := strings.Split(dump, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, ",") // the last column has none
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// SameLines fails the test if two sorted portraits differ, and names the lines.
func SameLines(t *testing.T, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	count := map[string]int{}
	for line := range strings.SplitSeq(want, "\n") {
		count[line]--
	}
	for line := range strings.SplitSeq(got, "\n") {
		count[line]++
	}
	var differ []string
	for line, n := range count {
		if n != 0 {
			differ = append(differ, fmt.Sprintf("%+d %.400s", n, line))
		}
	}
	slices.Sort(differ)
	require.Failf(t, "the portraits differ", "%d lines: %s", len(differ), strings.Join(differ[:min(len(differ), 20)], "\n"))
}
