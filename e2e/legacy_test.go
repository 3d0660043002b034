package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

// Runs as the takeover writes them: some of one schedule, and a restore.
const importedRuns = `
	with r as (
		insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, summary_counts, failure_summary,
			context, started_at, completed_at, created_at, updated_at, attempt, max_attempts, origin, event_count)
		select $1, $2, 'Old schedule', type, 'completed', outcome, sha256(old::text::bytea), '{"total": 12, "succeeded": 11, "failed": 1}', '[]',
			context || jsonb_build_object('legacy', jsonb_build_object('source', source, 'id', old, 'status', word, 'notes', '["completed_at_from_updated_at"]'::jsonb)),
			started, started + interval '95 s', started, started + interval '95 s', 0, 1, 'legacy', 1
		from (values
			(4711, 'backup_schedule_run', 'partially_succeeded', 'old_backups', 'partial', '{"inputs": {"backup_schedule_id": 17}, "backup_set_id": 230}'::jsonb, timestamptz '2024-05-01T02:00:00Z'),
			(4712, 'backup_schedule_run', 'succeeded', 'old_backups', 'completed', '{"inputs": {"backup_schedule_id": 17}, "backup_set_id": 231}', '2024-05-02T02:00:00Z'),
			(4713, 'backup_schedule_run', 'succeeded', 'old_backups', 'completed', '{"inputs": {"backup_schedule_id": 18}}', '2024-05-03T02:00:00Z'),
			(4711, 'restore_execute', 'failed', 'old_restores', 'failed', '{"inputs": {"restore_run_id": 4711, "backup_set_id": 230}}', '2024-05-04T02:00:00Z')
		) old (old, type, outcome, source, word, context, started)
		returning *
	), e as (
		insert into run_event (run_id, sequence, event_time, kind, actor, status, outcome, lease_epoch, attempt, detail, txid, id)
		select id, 1, completed_at, 'completed', 'takeover', status, outcome, 0, 0, '{"imported": true}', null, null from r
	)
	insert into run_label (workspace_id, key, value, created_at, run_id)
	select r.workspace_id, k, coalesce(r.context ->> k, r.context -> 'inputs' ->> k), r.created_at, r.id
	from r cross join unnest(array['backup_schedule_id', 'backup_set_id', 'restore_run_id']) k
	where coalesce(r.context ->> k, r.context -> 'inputs' ->> k) is not null`

// Imported runs can be found by their legacy rows and by their search keys, and their pages
// show both.
func TestImportedRunsAreFoundAndShown(t *testing.T) {
	t.Parallel()
	f := start(t, options{sim: graphsim.TenantConfig{Counts: few}, noQuotas: true})
	_, err := f.ops.Pool.Exec(t.Context(), importedRuns, f.workspace, f.tenant)
	require.NoError(t, err)
	f.sync(t)
	for filter, want := range map[string][]string{
		"legacy.source = old_backups":                                            {"4713", "4712", "4711"},
		"legacy.source = old_backups AND legacy.id = 4711":                       {"4711"},
		"legacy.id = 4711":                                                       {"4711", "4711"},
		"type = backup_schedule_run AND context.backup_schedule_id = 17":         {"4712", "4711"},
		`context.backup_set_id = "230"`:                                          {"4711", "4711"},
		"context.restore_run_id = 4711":                                          {"4711"},
		"context.backup_schedule_id = 17 AND outcome = partially_succeeded":      {"4711"},
		`legacy.source = old_backups AND complete_time < "2024-05-02T12:00:00Z"`: {"4712", "4711"},
		"legacy.source = elsewhere":                                              nil,
	} {
		require.Equal(t, want, f.legacyIDs(t, filter), filter)
	}
	page := f.page(t, "/operations/"+f.listed(t, "legacy.source = old_backups AND legacy.id = 4711")[0].ID)
	for _, want := range []string{
		"old_backups</bdi> #<bdi>4711", "imported from an older TenantPilot", "completed at from updated at", "/operations?schedule=17",
		"/operations?backup_set=230", "/operations?tenant=" + f.tenant, "Contoso", "Partly succeeded", "1 min 35 s", "Known from the import",
	} {
		require.Contains(t, page, want)
	}
	require.Equal(t, 2, strings.Count(f.page(t, "/operations?schedule=17"), "Scheduled backup <span"))
	list := f.page(t, "/operations")
	require.Equal(t, 4, strings.Count(list, "Old schedule"))
	require.Contains(t, list, "Inventory sync <span")
}

type listedRun struct {
	ID      string
	Origin  string
	Context struct{ Legacy struct{ ID int } }
}

func (f *fleet) listed(t *testing.T, filter string) []listedRun {
	t.Helper()
	var answer struct{ Runs []listedRun }
	f.api.must(t, "GET", "/api/v1/workspaces/"+f.workspace+"/operations?view=RUN_VIEW_FULL&filter="+url.QueryEscape(filter), nil, &answer)
	return answer.Runs
}

func (f *fleet) legacyIDs(t *testing.T, filter string) (ids []string) {
	t.Helper()
	for _, r := range f.listed(t, filter) {
		require.Equal(t, "RUN_ORIGIN_LEGACY", r.Origin)
		ids = append(ids, strconv.Itoa(r.Context.Legacy.ID))
	}
	return ids
}

// page returns a page of the console.
func (f *fleet) page(t *testing.T, path string) string {
	t.Helper()
	browser := &http.Client{Jar: f.signedIn(t)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.api.base+path, nil)
	require.NoError(t, err)
	resp, err := browser.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}

func (f *fleet) signedIn(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	form := strings.NewReader(url.Values{"token": {f.api.token}}.Encode())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.api.base+"/login", form)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Jar: jar}).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return jar
}
