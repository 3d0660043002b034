package sync_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// interrupt does r until something of it is stored, then ends its context as
// pkg/work would.
func (w *world) interrupt(t *testing.T, r *work.Run, cause error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err := w.syncer.Sync(ctx, r, func(counts map[string]int64) {
		if counts["processed"] > 0 {
			cancel(cause)
		}
	})
	require.ErrorIs(t, err, cause)
}

func TestAnInterruptedRunIsFinishedByTheNextAttempt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cause  error
		closed int // coverage rows the interrupted attempt closed itself
	}{
		"shutdown":   {cause: work.ErrShutdown, closed: 1},
		"wait":       {cause: work.ErrPlaceNeeded, closed: 1},
		"cancelled":  {cause: work.ErrCancelRequested, closed: 1},
		"lease lost": {cause: work.ErrLeaseLost, closed: 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, map[string]int{configurations: 250})
			r := w.run(t, configurations)
			w.interrupt(t, r, tt.cause)
			require.Positive(t, w.count(t, "select count(*) from item_version"))
			require.Equal(t, tt.closed, w.count(t, "select count(*) from coverage where end_time is not null and not complete"))

			r.Epoch, r.Attempt = 2, 2
			result := w.sync(t, r)
			require.Equal(t, succeeded, result.Outcome, result.Failures)
			require.EqualValues(t, 250, result.Counts["created"])
			require.Equal(t, 250, w.count(t, "select count(*) from item_version"))
			require.Zero(t, w.count(t, "select count(*) from coverage where end_time is null"))
		})
	}
}

func TestAWorkerWhoseRunWasTakenOverWritesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 20})
	r := w.run(t, configurations)
	r.Epoch = 2
	w.interrupt(t, r, work.ErrLeaseLost)
	late := *r
	late.Epoch = 1
	_, err := w.syncer.Sync(t.Context(), &late, func(map[string]int64) {})
	require.Error(t, err)
	require.Equal(t, 1, w.count(t, "select count(*) from coverage"))
}

func TestOverlappingSelectionsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{catalogPolicies: 60, configurations: 60})
	runs := []*work.Run{w.run(t, catalogPolicies, configurations), w.run(t, configurations), w.run(t, catalogPolicies)}
	var group errgroup.Group
	for _, r := range runs {
		group.Go(func() error {
			result, err := w.syncer.Sync(t.Context(), r, func(map[string]int64) {})
			if err == nil && result.Outcome != succeeded {
				t.Errorf("run %d: %v", r.ID, result.Failures)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Equal(t, 120, w.count(t, "select count(*) from item_version"))
	require.Equal(t, 4, w.count(t, "select count(*) from coverage where complete and removed_count = 0"))
}

func TestAConnectionThatIsLostIsWaitedOut(t *testing.T) {
	t.Parallel()
	w := setup(t, map[string]int{configurations: 250})
	done := false
	result, err := w.syncer.Sync(t.Context(), w.run(t, configurations), func(counts map[string]int64) {
		if counts["processed"] == 0 || done {
			return
		}
		done = true
		_, err := w.db.Pool.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid()`)
		if err != nil {
			t.Errorf("terminate: %v", err)
		}
	})
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, succeeded, result.Outcome, result.Failures)
	require.EqualValues(t, 250, result.Counts["created"])
	require.Equal(t, 250, w.count(t, "select count(*) from item_version"))
}

// What Graph does wrong must end in one honest failure, and remove nothing.
func TestFaultsOfGraph(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule   graphsim.Rule
		reason operationsv1.FailureReason
	}{
		"looping list":       {rule: graphsim.Rule{Path: "*/" + catalogPolicies, Kind: graphsim.FaultLoop}, reason: operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY},
		"list of elsewhere":  {rule: graphsim.Rule{Path: "*/" + catalogPolicies, Kind: graphsim.FaultEvilLink, Host: "evil.example"}, reason: operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY},
		"list is a web page": {rule: graphsim.Rule{Path: "*/" + catalogPolicies, Kind: graphsim.FaultHTML}, reason: operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY},
		"list is cut off":    {rule: graphsim.Rule{Path: "*/" + catalogPolicies, Kind: graphsim.FaultTruncated}, reason: operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY},
		"settings missing":   {rule: graphsim.Rule{Path: "*/" + catalogPolicies, Kind: graphsim.FaultSettingCount}, reason: operationsv1.FailureReason_FAILURE_REASON_DEPENDENCY},
		"throttled to death": {rule: graphsim.Rule{Path: "*/" + catalogPolicies, Kind: graphsim.FaultStatus, Status: 429}, reason: operationsv1.FailureReason_FAILURE_REASON_THROTTLED},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, map[string]int{catalogPolicies: 3})
			w.sync(t, w.run(t, catalogPolicies))
			require.NoError(t, w.tenant.Remove(catalogPolicies, w.tenant.IDs(catalogPolicies)[0]))
			require.NoError(t, w.sim.SetFaults([]graphsim.Rule{tt.rule}))
			r := w.run(t, catalogPolicies)
			result := w.sync(t, r)
			require.NotEqual(t, succeeded, result.Outcome)
			require.Equal(t, tt.reason, result.Failures[0].GetReason())
			require.Zero(t, result.Counts["removed"])
			require.Len(t, w.items(t, false), 3)
			coverage, err := w.store.LatestCoverage(t.Context(), workspaceID, tenantID, item.Selection{catalogPolicies})
			require.NoError(t, err)
			require.Equal(t, r.ID, coverage[0].RunID)
			require.False(t, coverage[0].Complete)
			require.NotEmpty(t, coverage[0].Message)
		})
	}
}

// noise is text that does not compress.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(rand.Text())
	}
	return b.String()
}

// Names are cut in the middle of an emoji, and ids may be anything: PostgreSQL
// takes neither, and one object must not end the run of all the others.
func TestAnObjectThatCannotBeStoredFailsAlone(t *testing.T) {
	t.Parallel()
	const filters = "assignmentFilters"
	tests := map[string]struct {
		object  string
		outcome operationsv1.RunOutcome
		items   int
	}{
		"half an emoji in the name":   {object: `{"id":"x","displayName":"Kiosk \ud83d"}`, outcome: succeeded, items: 3},
		"bytes that are no character": {object: "{\"id\":\"x\",\"displayName\":\"Kiosk \xff\"}", outcome: succeeded, items: 3},
		"half an emoji in the id":     {object: `{"id":"x\ud83d","displayName":"Kiosk"}`, outcome: partially, items: 2},
		"an id no index holds":        {object: `{"id":"` + noise(3000) + `","displayName":"Kiosk"}`, outcome: partially, items: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, map[string]int{filters: 2})
			_, err := w.tenant.Add(filters, json.RawMessage(tt.object))
			require.NoError(t, err)
			result := w.sync(t, w.run(t, filters))
			require.Equal(t, tt.outcome, result.Outcome, result.Failures)
			require.Len(t, w.items(t, false), tt.items)
		})
	}
}
