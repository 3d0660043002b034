package api_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
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

func TestListPagesWithoutGapsOrRepeats(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var made []int64
	for i := range 7 {
		made = append([]int64{w.start(t, sync(fmt.Sprint(i))).Id}, made...)
	}
	foreign := sync("abc")
	foreign.WorkspaceId = 2
	w.start(t, foreign)

	var seen []int64
	req := &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 3}
	for {
		resp, err := w.reader.ListRuns(t.Context(), req)
		require.NoError(t, err)
		for _, r := range resp.Runs {
			seen = append(seen, r.Id)
		}
		w.start(t, sync(fmt.Sprint("meanwhile", len(seen)))) // newer rows do not disturb later pages
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	require.Equal(t, made, seen)
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	labelled := sync("a")
	labelled.Context = mustStruct(t, map[string]any{"inputs": map[string]any{"selection_hash": "h1"}, "sync_schedule_id": 42})
	one := w.start(t, labelled)
	two := w.start(t, sync("b"))
	w.complete(t, w.begin(t, two.Id, "us"), failed)
	other := sync("c")
	tenant := int64(6)
	other.TenantId = &tenant
	three := w.start(t, other)

	for filter, want := range map[string][]int64{
		``:                                     {three.Id, two.Id, one.Id},
		`status = "completed"`:                 {two.Id},
		`status = queued AND tenant_id = 6`:    {three.Id},
		`outcome = "failed"`:                   {two.Id},
		`type = "inventory_sync"`:              {three.Id, two.Id, one.Id},
		`context.selection_hash = "h1"`:        {one.Id},
		`context.sync_schedule_id = "42"`:      {one.Id},
		`context.sync_schedule_id = 42`:        {one.Id},
		`context.selection_hash = "nope"`:      {},
		`outcome = "failed" AND tenant_id = 6`: {},
	} {
		require.Equal(t, want, w.list(t, filter), filter)
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
	require.NotEmpty(t, page.NextPageToken)
	tests := map[string]struct {
		req    *operationsv1.ListRunsRequest
		reason string
	}{
		"negative size":       {&operationsv1.ListRunsRequest{PageSize: -1}, "INVALID_FIELD"},
		"unknown field":       {&operationsv1.ListRunsRequest{Filter: `colour = "red"`}, "INVALID_FILTER"},
		"unknown status":      {&operationsv1.ListRunsRequest{Filter: `status = "done"`}, "INVALID_FILTER"},
		"unknown context key": {&operationsv1.ListRunsRequest{Filter: `context.colour = "red"`}, "INVALID_FILTER"},
		"no filter at all":    {&operationsv1.ListRunsRequest{Filter: `status = = x`}, "INVALID_FILTER"},
		"or":                  {&operationsv1.ListRunsRequest{Filter: `status = queued OR status = running`}, "INVALID_FILTER"},
		"not an id":           {&operationsv1.ListRunsRequest{Filter: `tenant_id = "x"`}, "INVALID_FILTER"},
		"tampered token":      {&operationsv1.ListRunsRequest{PageToken: page.NextPageToken[:len(page.NextPageToken)-2] + "AA"}, "INVALID_PAGE_TOKEN"},
		"another filter's":    {&operationsv1.ListRunsRequest{PageToken: page.NextPageToken, Filter: `status = queued`}, "INVALID_PAGE_TOKEN"},
		"another workspace's": {&operationsv1.ListRunsRequest{PageToken: page.NextPageToken, WorkspaceId: 2}, "INVALID_PAGE_TOKEN"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.req.WorkspaceId == 0 {
				tt.req.WorkspaceId = 1
			}
			_, err := w.reader.ListRuns(t.Context(), tt.req)
			requireRefused(t, err, codes.InvalidArgument, tt.reason)
		})
	}
	huge, err := w.reader.ListRuns(t.Context(), &operationsv1.ListRunsRequest{WorkspaceId: 1, PageSize: 1_000_000_000})
	require.NoError(t, err, "a size above the most is answered with the most")
	require.Len(t, huge.Runs, 3)
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
	require.Equal(t, append(want, released.Id), got)
}

func TestRunTypesAreListed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	resp, err := w.reader.ListRunTypes(t.Context(), &operationsv1.ListRunTypesRequest{})
	require.NoError(t, err)
	require.Len(t, resp.RunTypes, 10)
	require.Equal(t, "Scheduled backup", resp.RunTypes[2].Label)
	require.EqualValues(t, 20, resp.RunTypes[2].LeaseSeconds)
}
