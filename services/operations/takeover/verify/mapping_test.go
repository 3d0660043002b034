package verify_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover/adopt"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/legacy"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/mapping"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/takeovertest"
	"github.com/tenantpilot/tenantpilot/services/operations/takeover/verify"
)

// A linked row has another run; here it is compared with the run that it would become.
const readMapped = `select legacy_id, legacy_id + (select base from tenantpilot_takeover.run_block where source = '{source}'), workspace_id, tenant_id, user_id, initiator_name, coalesce(type, ''), status, outcome, run_identity_hash,
	summary_counts::text, failure_summary::text, context::text, started_at, completed_at, created_at, updated_at
	from tenantpilot_takeover.mapped_{source} where link not in ('archived', 'wizard')
		and context -> 'legacy' ->> 'status' is distinct from 'previewed'
	order by legacy_id`

// viewed returns what the view of a source makes of its rows, by legacy id.
func viewed(t *testing.T, s *takeovertest.Takeover, source string) (ids []int64, runs []mapping.Run) {
	t.Helper()
	rows, err := s.Legacy.Query(t.Context(), legacy.In(source, readMapped))
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var s mapping.Stored
		var id int64
		require.NoError(t, rows.Scan(&id, &s.ID, &s.WorkspaceID, &s.TenantID, &s.UserID, &s.InitiatorName, &s.Type, &s.Status, &s.Outcome, &s.IdentityHash,
			&s.Counts, &s.Failures, &s.Text, &s.StartedAt, &s.CompletedAt, &s.CreatedAt, &s.UpdatedAt))
		r, err := s.Decoded()
		require.NoError(t, err)
		ids, runs = append(ids, id), append(runs, r)
	}
	require.NoError(t, rows.Err())
	return ids, runs
}

// agree fails the test unless the views and package mapping agree on every row; it returns
// the number of rows.
func agree(t *testing.T, s *takeovertest.Takeover) (rows int) {
	t.Helper()
	for _, source := range legacy.Sources {
		ids, got := viewed(t, s, source)
		want, err := verify.ExpectedRuns(t.Context(), s.Legacy, source, ids)
		require.NoError(t, err)
		require.Equal(t, len(got), len(want), source)
		for i, w := range want {
			if differ := w.Differences(got[i]); len(differ) > 0 {
				goes, _ := json.MarshalIndent(w, "", " ")
				views, _ := json.MarshalIndent(got[i], "", " ")
				require.Fail(t, "views and mapping differ", "%s row %d: %v\nmapping: %s\nview: %s", source, ids[i], differ, goes, views)
			}
		}
		rows += len(got)
	}
	return rows
}

func TestViewsAndMappingAgreeOnEveryRow(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]struct {
		offset int64
		zone   string
		stale  string
	}{
		"as they are":      {stale: "-infinity"},
		"stale, in a zone": {zone: "America/New_York", stale: "now"},
		"moved":            {offset: 50_000_000, stale: "2026-01-01"},
		"cut over":         {stale: "infinity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := takeovertest.New(t, takeovertest.AwkwardRows)
			s.Done(adopt.Run(t.Context(), s.Ledger, s.Tenancy, adopt.Options{Owners: map[int64]string{2: "1"}, IDOffset: told.offset, Timezone: told.zone}))
			s.Exec("update tenantpilot_takeover.takeover set stale_before = $1::text::timestamptz", told.stale)
			require.Greater(t, agree(t, s), 2000)
		})
	}
}
