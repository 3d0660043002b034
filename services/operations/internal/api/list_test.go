package api_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

func (w *world) list(t *testing.T, filter string) []int64 {
	t.Helper()
	resp, err := w.reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: 1, Filter: filter})
	require.NoError(t, err, filter)
	ids := []int64{}
	for _, r := range resp.Runs {
		ids = append(ids, r.Id)
	}
	return ids
}

// page returns the ids of one page, and the response.
func (w *world) page(t *testing.T, req *operationsv1.ListRunsRequest) ([]int64, *operationsv1.ListRunsResponse) {
	t.Helper()
	resp, err := w.reader.ListRuns(t.Context(), req)
	require.NoError(t, err)
	ids := []int64{}
	for _, r := range resp.Runs {
		ids = append(ids, r.Id)
	}
	return ids, resp
}

// In every order, reading forwards to the end, backwards to the beginning and forwards
// again shows every run once each time, although other runs start in between.
func TestListPagesBothWaysWithoutGapsOrRepeats(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var made []int64
	for i := range 8 {
		r := w.start(t, sync(fmt.Sprint(i)))
		w.complete(t, w.begin(t, r.Id, "us"), succeeded)
		made = append(made, r.Id)
	}
	foreign := sync("abc")
	foreign.WorkspaceId = 2
	w.start(t, foreign)

	for _, order := range []string{"", "create_time desc", "create_time", "complete_time  desc", "complete_time"} {
		want := slices.Clone(made)
		if order == "" || strings.HasSuffix(order, "desc") {
			slices.Reverse(want)
		}
		req := &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 3, OrderBy: order, Filter: "status = completed"}
		first, resp := w.page(t, req)
		require.Empty(t, resp.PreviousPageToken, "the first page")
		forward := first
		for req.PageToken = resp.NextPageToken; req.PageToken != ""; req.PageToken = resp.NextPageToken {
			var ids []int64
			ids, resp = w.page(t, req)
			forward = append(forward, ids...)
			w.start(t, sync(fmt.Sprint(order, "meanwhile", len(forward))))
		}
		require.Equal(t, want, forward, order)

		back, last := []int64{}, resp
		for req.PageToken = resp.PreviousPageToken; req.PageToken != ""; req.PageToken = resp.PreviousPageToken {
			var ids []int64
			ids, resp = w.page(t, req)
			back = append(ids, back...)
		}
		require.Equal(t, want[:len(want)-len(last.Runs)], back, "%s: all before the last page, and nothing twice", order)

		req.PageToken = resp.NextPageToken
		again, _ := w.page(t, req)
		require.Equal(t, want[len(resp.Runs):len(resp.Runs)+3], again, "%s: the page after the first one that was read back", order)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	labelled := sync("a")
	labelled.Context = mustStruct(t, map[string]any{"inputs": map[string]any{"selection_hash": "h1"}, "sync_schedule_id": 42})
	labelled.InitiatorName = `Ada "the Countess" O'Byron`
	one := w.start(t, labelled)
	two := w.start(t, sync("b"))
	_, err := w.runs.CompleteRun(t.Context(), &operationsv1.CompleteRunRequest{
		RunId: two.Id, LeaseEpoch: w.begin(t, two.Id, "us").LeaseEpoch, Outcome: failed,
		FailureSummary: []*operationsv1.Failure{{Reason: operationsv1.FailureReason_FAILURE_REASON_THROTTLED, Message: "x"}, {Reason: operationsv1.FailureReason_FAILURE_REASON_PERMISSION, Message: "x"}, {Reason: operationsv1.FailureReason_FAILURE_REASON_THROTTLED, Message: "y"}},
	})
	require.NoError(t, err)
	retried := sync("b")
	retried.RetryOf = &two.Id
	three := w.start(t, retried)
	other := sync("c")
	tenant, user := int64(6), int64(8)
	other.TenantId, other.UserId, other.ParentRunId = &tenant, &user, &two.Id
	four := w.start(t, other)
	imported := w.importRun(t, "old_sync_runs", "77")
	w.exec(t, "update operation_runs set traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' where id = $1", three.Id)
	ended := w.get(t, two.Id).CompleteTime.AsTime().Format(time.RFC3339Nano)

	for filter, want := range map[string][]int64{
		``:                                  {four.Id, three.Id, two.Id, one.Id, imported},
		`status = "completed"`:              {two.Id, imported},
		`status = queued AND tenant_id = 6`: {four.Id},
		`(status = queued) AND ((tenant_id = 6))`:                 {four.Id},
		`outcome = "failed"`:                                      {two.Id},
		`outcome = pending`:                                       {four.Id, three.Id, one.Id},
		`outcome = succeeded`:                                     {imported},
		`outcome = cancelled`:                                     {},
		`status = queued AND outcome = failed`:                    {},
		`type = "inventory_sync"`:                                 {four.Id, three.Id, two.Id, one.Id, imported},
		`user_id = 8`:                                             {four.Id},
		`initiator_name = "Ada \"the Countess\" O'Byron"`:         {one.Id},
		`initiator_name = inventory`:                              {four.Id, three.Id, two.Id},
		`has_failures = true`:                                     {two.Id},
		`has_failures = false AND tenant_id = 5`:                  {three.Id, one.Id},
		`reason_code = throttled`:                                 {two.Id},
		`reason_code = permission AND outcome = failed`:           {two.Id},
		`reason_code = dependency`:                                {},
		`reason_code = FAILURE_REASON_PERMISSION`:                 {two.Id},
		`reason_code = "FAILURE_REASON_DEPENDENCY"`:               {},
		`retry_of = ` + fmt.Sprint(two.Id):                        {three.Id},
		`parent_run_id = ` + fmt.Sprint(two.Id):                   {four.Id},
		`trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"`:           {three.Id},
		`trace_id = "00000000000000000000000000000001"`:           {},
		`legacy.source = "old_sync_runs"`:                         {imported},
		`legacy.source = old_sync_runs AND legacy.id = 77`:        {imported},
		`legacy.id = "78"`:                                        {},
		`context.selection_hash = "h1"`:                           {one.Id},
		`context.sync_schedule_id = "42"`:                         {one.Id},
		`context.sync_schedule_id = 42`:                           {one.Id},
		`context.selection_hash = "nope"`:                         {},
		`context.selection_hash = h1 AND reason_code = throttled`: {},
		`outcome = "failed" AND tenant_id = 6`:                    {},
		`create_time > "2026-01-01T00:00:00Z"`:                    {four.Id, three.Id, two.Id, one.Id},
		`create_time < "2026-01-01T00:00:00+02:00"`:               {imported},
		`start_time >= "2000-01-01T00:00:00Z"`:                    {two.Id, imported},
		`complete_time = "` + ended + `"`:                         {two.Id},
		`complete_time < "` + ended + `"`:                         {imported},
		`complete_time <= "` + ended + `"`:                        {two.Id, imported},
		`complete_time > "` + ended + `"`:                         {},
	} {
		require.Equal(t, want, w.list(t, filter), filter)
		byEnd, _ := w.page(t, &operationsv1.ListRunsRequest{WorkspaceId: 1, Filter: filter, OrderBy: "complete_time"})
		slices.Reverse(byEnd)
		want = slices.DeleteFunc(want, func(id int64) bool { return id != two.Id && id != imported })
		require.Equal(t, want, byEnd, "by completion: %s", filter)
	}
}

// importRun inserts a completed run of an older TenantPilot.
func (w *world) importRun(t *testing.T, source, id string) int64 {
	t.Helper()
	var run int64
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), `
		insert into operation_runs (workspace_id, initiator_name, type, status, outcome, run_identity_hash, started_at, completed_at,
			created_at, max_attempts, origin, context)
		values (1, 'imported', 'inventory_sync', 'completed', 'succeeded', sha256('x'), '2025-01-01Z', '2025-01-02Z', '2025-01-01Z', 1, 'legacy',
			jsonb_build_object('legacy', jsonb_build_object('source', $1::text, 'id', $2::text))) returning id`, source, id).Scan(&run))
	return run
}

// Lists find a run by its failures, whoever wrote them.
func TestReasonsOfTheReaperAreFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	late, lost := w.at(t, "overdue in the queue"), w.at(t, "expired in its last attempt")
	w.reap(t)
	require.Equal(t, []int64{late.Id}, w.list(t, "reason_code = start_timeout"))
	require.Equal(t, []int64{lost.Id}, w.list(t, "reason_code = lease_expired"))
	require.Equal(t, []int64{lost.Id, late.Id}, w.list(t, "has_failures = true"))
}

// If few of many runs match, pages are short, but no run is missing.
func TestShortPagesLoseNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.exec(t, `
		insert into operation_runs (workspace_id, tenant_id, initiator_name, type, status, outcome, run_identity_hash, completed_at, created_at, max_attempts)
		select 1, 5, case when g % 4000 = 0 then 'rare' else 'schedule' end, 'inventory_sync', 'completed', 'succeeded', sha256(g::text::bytea),
			timestamptz '2026-01-01Z' + make_interval(secs => g), timestamptz '2026-01-01Z' + make_interval(secs => g), 1
		from generate_series(1, 12000) g`)
	for _, order := range []string{"create_time desc", "create_time", "complete_time desc", "complete_time"} {
		req := &operationsv1.ListRunsRequest{WorkspaceId: 1, Filter: `initiator_name = rare AND has_failures = false AND start_time < "2000-01-01T00:00:00Z"`, OrderBy: order}
		none, resp := w.page(t, req)
		require.Empty(t, none)
		if strings.HasPrefix(order, "create") {
			require.Empty(t, resp.NextPageToken, "the index of initiators leaves three to look at")
		}
		req.Filter = `tenant_id = 5 AND has_failures = false AND status = completed AND initiator_name = rare`
		if strings.HasPrefix(order, "create") {
			req.Filter = `tenant_id = 5 AND complete_time >= "2026-01-01T00:00:00Z"`
			req.PageSize = 200
		}
		var forward, back []int64
		pages, ids := 0, []int64(nil)
		for req.PageToken = ""; pages == 0 || req.PageToken != ""; req.PageToken = resp.NextPageToken {
			ids, resp = w.page(t, req)
			forward = append(forward, ids...)
			pages++
		}
		last := len(ids)
		for req.PageToken = resp.PreviousPageToken; req.PageToken != ""; req.PageToken = resp.PreviousPageToken {
			ids, resp = w.page(t, req)
			back = append(ids, back...)
		}
		want := 12000
		if strings.HasPrefix(order, "complete") {
			want = 3
			require.Equal(t, 3, pages, "each examines 5,000")
		}
		require.Len(t, forward, want, order)
		require.Equal(t, forward[:want-last], back, order)
	}
}

func TestListsShowWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	req := sync("a")
	req.Context = mustStruct(t, map[string]any{"selection_hash": "h1"})
	id := w.start(t, req).Id
	full := w.get(t, id)
	ask := func(view operationsv1.RunView, paths ...string) *operationsv1.Run {
		resp, err := w.reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: 1, View: view, ReadMask: &fieldmaskpb.FieldMask{Paths: paths}})
		require.NoError(t, err)
		require.Len(t, resp.Runs, 1)
		return resp.Runs[0]
	}
	full.RunsAhead = nil // of GetRun alone
	basic := proto.CloneOf(full)
	basic.Context = nil
	for want, got := range map[*operationsv1.Run]*operationsv1.Run{
		full:                              ask(operationsv1.RunView_RUN_VIEW_FULL),
		basic:                             ask(operationsv1.RunView_RUN_VIEW_BASIC),
		proto.CloneOf(basic):              ask(operationsv1.RunView_RUN_VIEW_UNSPECIFIED),
		proto.CloneOf(full):               ask(operationsv1.RunView_RUN_VIEW_BASIC, "*"),
		{Id: id, Context: full.Context}:   ask(operationsv1.RunView_RUN_VIEW_BASIC, "id", "context"),
		{Id: id, TenantId: full.TenantId}: ask(operationsv1.RunView_RUN_VIEW_FULL, "id", "tenantId"),
	} {
		require.True(t, proto.Equal(want, got), "want %v, got %v", want, got)
	}
}

func TestBadListsAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 3 {
		w.start(t, sync(fmt.Sprint(w.list(t, ""))))
	}
	page, err := w.reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 1})
	require.NoError(t, err)
	token := page.NextPageToken
	require.NotEmpty(t, token)
	altered := []byte(token)
	altered[20] ^= 1
	const field, filter, badToken = "INVALID_FIELD", "INVALID_FILTER", "INVALID_PAGE_TOKEN"
	tests := map[string]struct {
		req    *operationsv1.ListRunsRequest
		reason string
		says   string
	}{
		"negative size":            {&operationsv1.ListRunsRequest{PageSize: -1}, field, "page_size"},
		"most negative size":       {&operationsv1.ListRunsRequest{PageSize: math.MinInt32}, field, "page_size"},
		"unknown field":            {&operationsv1.ListRunsRequest{Filter: `colour = "red"`}, filter, "colour"},
		"a column's name":          {&operationsv1.ListRunsRequest{Filter: `created_at > "2026-01-01T00:00:00Z"`}, filter, "created_at"},
		"quoted field":             {&operationsv1.ListRunsRequest{Filter: `"status" = queued`}, filter, "field"},
		"unknown status":           {&operationsv1.ListRunsRequest{Filter: `status = "done"`}, filter, "done"},
		"unknown type":             {&operationsv1.ListRunsRequest{Filter: `type = "a.dotted"`}, filter, "a.dotted"},
		"unknown context key":      {&operationsv1.ListRunsRequest{Filter: `context.colour = "red"`}, filter, "colour"},
		"the key of reason codes":  {&operationsv1.ListRunsRequest{Filter: `context.run.reason_code = "red"`}, filter, "run.reason_code"},
		"a reason without a word":  {&operationsv1.ListRunsRequest{Filter: `reason_code = FAILURE_REASON_OTHER`}, filter, "other_reason"},
		"no reason":                {&operationsv1.ListRunsRequest{Filter: `reason_code = FAILURE_REASON_UNSPECIFIED`}, filter, "other_reason"},
		"no filter at all":         {&operationsv1.ListRunsRequest{Filter: `status = = x`}, filter, "character 10"},
		"unfinished":               {&operationsv1.ListRunsRequest{Filter: `status = `}, filter, "AIP-160"},
		"a word":                   {&operationsv1.ListRunsRequest{Filter: `queued`}, filter, "field = value"},
		"words":                    {&operationsv1.ListRunsRequest{Filter: `status = queued status = queued`}, filter, "AND"},
		"or":                       {&operationsv1.ListRunsRequest{Filter: `status = queued OR status = running`}, filter, "AND"},
		"not":                      {&operationsv1.ListRunsRequest{Filter: `NOT status = queued`}, filter, "field = value"},
		"a function":               {&operationsv1.ListRunsRequest{Filter: `status = lower("x")`}, filter, "strings"},
		"unequal":                  {&operationsv1.ListRunsRequest{Filter: `status != queued`}, filter, "!="},
		"a range of words":         {&operationsv1.ListRunsRequest{Filter: `tenant_id > 5`}, filter, "tenant_id"},
		"has":                      {&operationsv1.ListRunsRequest{Filter: `create_time : "x"`}, filter, "create_time"},
		"twice":                    {&operationsv1.ListRunsRequest{Filter: `tenant_id = 5 AND tenant_id = 6`}, filter, "twice"},
		"not an id":                {&operationsv1.ListRunsRequest{Filter: `tenant_id = "x"`}, filter, "tenant_id"},
		"an id of no run":          {&operationsv1.ListRunsRequest{Filter: `retry_of = -4`}, filter, "retry_of"},
		"too large an id":          {&operationsv1.ListRunsRequest{Filter: `retry_of = "99999999999999999999"`}, filter, "retry_of"},
		"not a bool":               {&operationsv1.ListRunsRequest{Filter: `has_failures = maybe`}, filter, "maybe"},
		"not a trace":              {&operationsv1.ListRunsRequest{Filter: `trace_id = "xyz"`}, filter, "trace_id"},
		"not a time":               {&operationsv1.ListRunsRequest{Filter: `create_time > yesterday`}, filter, "yesterday"},
		"too fine a time":          {&operationsv1.ListRunsRequest{Filter: `create_time > "2026-01-01T00:00:00.123456789Z"`}, filter, "microsecond"},
		"nothing":                  {&operationsv1.ListRunsRequest{Filter: `initiator_name = ""`}, filter, "initiator_name"},
		"a long value":             {&operationsv1.ListRunsRequest{Filter: `initiator_name = "` + strings.Repeat("x", 1000) + `"`}, filter, "1000"},
		"a long name":              {&operationsv1.ListRunsRequest{Filter: strings.Repeat("x", 1900) + " = 1"}, filter, "field"},
		"absurd depth":             {&operationsv1.ListRunsRequest{Filter: strings.Repeat("(", 990) + "status = queued" + strings.Repeat(")", 990)}, filter, "nested"},
		"absurd depth in disguise": {&operationsv1.ListRunsRequest{Filter: `initiator_name = "a\\" AND ` + strings.Repeat("(", 900) + "status = queued" + strings.Repeat(")", 900)}, filter, "nested"},
		"absurd depth in calls":    {&operationsv1.ListRunsRequest{Filter: strings.Repeat("f(", 990)}, filter, "nested"},
		"absurd depth in a path":   {&operationsv1.ListRunsRequest{Filter: strings.Repeat("a.", 990) + "a = 1"}, filter, "field"},
		"too many terms":           {&operationsv1.ListRunsRequest{Filter: strings.Repeat(`create_time > "2026-01-01T00:00:00Z" AND `, 21) + "status = queued"}, filter, "20 terms"},
		"too long":                 {&operationsv1.ListRunsRequest{Filter: strings.Repeat(" ", 2001)}, "INVALID_FIELD", "filter"},
		"order by anything":        {&operationsv1.ListRunsRequest{OrderBy: "initiator_name"}, field, "initiator_name"},
		"order by two":             {&operationsv1.ListRunsRequest{OrderBy: "create_time desc, id"}, field, "order_by"},
		"order in capitals":        {&operationsv1.ListRunsRequest{OrderBy: "create_time DESC"}, field, "order_by"},
		"unknown mask":             {&operationsv1.ListRunsRequest{ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"id", "colour"}}}, field, "colour"},
		"mask inside a field":      {&operationsv1.ListRunsRequest{ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"context.inputs"}}}, field, "context.inputs"},
		"unknown view":             {&operationsv1.ListRunsRequest{View: 9}, field, "view"},
		"no token":                 {&operationsv1.ListRunsRequest{PageToken: "x"}, badToken, "page_token"},
		"tampered token":           {&operationsv1.ListRunsRequest{PageToken: string(altered)}, badToken, "page_token"},
		"another filter's":         {&operationsv1.ListRunsRequest{PageToken: token, Filter: `status = queued`}, badToken, "page_token"},
		"another order's":          {&operationsv1.ListRunsRequest{PageToken: token, OrderBy: `create_time`}, badToken, "page_token"},
		"another workspace's":      {&operationsv1.ListRunsRequest{PageToken: token, WorkspaceId: 2}, badToken, "page_token"},
		"a filter past its length": {&operationsv1.ListRunsRequest{PageToken: strings.Repeat("x", 3000)}, "INVALID_FIELD", "page_token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.req.WorkspaceId = cmp.Or(tt.req.WorkspaceId, 1)
			_, err := w.reader.ListRuns(t.Context(), tt.req)
			requireRefused(t, err, codes.InvalidArgument, tt.reason)
			require.Contains(t, fmt.Sprint(err, status.Convert(err).Details()), tt.says)
		})
	}
	for _, asked := range []int32{0, 1_000_000_000} {
		page, _ := w.page(t, &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: asked})
		require.Len(t, page, 3, "a larger page size counts as the largest")
	}
	page, err = w.reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 1, PageToken: token, OrderBy: "create_time  desc", View: operationsv1.RunView_RUN_VIEW_FULL})
	require.NoError(t, err, "the order said in full is the same list, and how much is shown may change")
	require.Len(t, page.Runs, 1)
}

func TestDispatchableRunsAreTheQueuedOnesOfTheirOwner(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var want []int64
	for i := range 5 {
		req := sync(fmt.Sprint(i))
		req.WorkspaceId = int64(i%2 + 1)
		want = append(want, w.start(t, req).Id)
	}
	w.at(t, "running")
	w.at(t, "succeeded")
	released := w.at(t, "released")
	var got []int64
	req := &operationsv1.ListDispatchableRunsRequest{Types: []string{"inventory_sync"}, PageSize: 2}
	for {
		resp, err := w.runs.ListDispatchableRuns(t.Context(), req)
		require.NoError(t, err)
		for _, d := range resp.Runs {
			got = append(got, d.RunId)
			if d.RunId == released.Id {
				require.EqualValues(t, 2, d.LeaseEpoch, "a slip of the new epoch")
			}
		}
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	require.ElementsMatch(t, append(want, released.Id), got)
}

func TestRunTypesAreListed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	resp, err := w.reader.ListRunTypes(t.Context(), &operationsv1.ListRunTypesRequest{})
	require.NoError(t, err)
	require.Len(t, resp.RunTypes, len(run.DefaultTypes()))
	i := slices.IndexFunc(resp.RunTypes, func(t *operationsv1.RunType) bool { return t.Type == "backup_schedule_run" })
	require.Equal(t, "Scheduled backup", resp.RunTypes[i].Label)
	require.EqualValues(t, 20, resp.RunTypes[i].LeaseSeconds)
}
