package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
)

// crowd creates n schedules of a workspace whose slots are due.
func (w *world) crowd(t *testing.T, workspaceID int64, n int) {
	t.Helper()
	w.exec(t, `insert into schedule (workspace_id, tenant_id, display_name, cron, time_zone, paused, next_slot_time, details)
		select $1, 7, 'nightly', $2, 'UTC', false, now() - interval '1 hour', '{}' from generate_series(1, $3::int)`, workspaceID, rarely, n)
}

// queues are run queues of workspaces, some of which are full.
type queues struct {
	full         map[int64]bool
	tried, begun map[int64]int // by workspace
}

func (q *queues) start(_ context.Context, slot schedule.Slot[details]) (int64, error) {
	q.tried[slot.WorkspaceID]++
	if q.full[slot.WorkspaceID] {
		return 0, errs.Exhausted("RUN_QUEUE_FULL", time.Minute, "many runs are queued")
	}
	q.begun[slot.WorkspaceID]++
	return slot.ID, nil
}

func TestAFullQueueOfOneWorkspaceKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
	q := &queues{full: map[int64]bool{1: true}, tried: map[int64]int{}, begun: map[int64]int{}}
	w.crowd(t, 1, 150)
	for range 2 { // a pass takes 100 slots
		require.NoError(t, w.store.Pass(t.Context(), q.start, log))
	}
	w.crowd(t, 2, 1)
	q.tried = map[int64]int{}
	lines.Reset()
	require.NoError(t, w.store.Pass(t.Context(), q.start, log))
	require.Equal(t, 1, q.begun[2])
	require.Equal(t, 1, q.tried[1], "the other slots of the workspace are not tried in the same pass")
	require.Equal(t, 1, strings.Count(lines.String(), "\n"), lines.String())
	require.Contains(t, lines.String(), "1:100")

	q.full = nil
	for range 2 {
		require.NoError(t, w.store.Pass(t.Context(), q.start, log))
	}
	require.Equal(t, 150, q.begun[1])
}

// More workspaces than a pass has slots of each are full.
func TestFullQueuesOfManyWorkspacesKeepNoOtherWaiting(t *testing.T) {
	t.Parallel()
	w := setup(t)
	q := &queues{full: map[int64]bool{}, tried: map[int64]int{}, begun: map[int64]int{}}
	for id := range int64(120) {
		w.crowd(t, 100+id, 1)
		q.full[100+id] = true
	}
	w.crowd(t, 2, 1)
	for range 2 {
		require.NoError(t, w.store.Pass(t.Context(), q.start, w.log))
	}
	require.Equal(t, 1, q.begun[2])
}

// again makes the schedule's next slot due.
func (w *world) again(t *testing.T) {
	t.Helper()
	w.exec(t, "update schedule set next_slot_time = date_trunc('minute', now()) where not paused")
}

func TestASlotThatWaitsStandsForTheSlotsAfterIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, rarely, 5)
	for range 3 {
		w.fail = append(w.fail, errors.New("away"))
		require.NoError(t, w.pass(t.Context()))
		w.again(t)
	}
	require.NoError(t, w.pass(t.Context()))
	require.NoError(t, w.pass(t.Context()))
	require.Len(t, w.runs, 1)
	require.Len(t, w.details, 4, "one try in each pass")
	s := w.only(t)
	require.EqualValues(t, 1, *s.LastRun)
	require.WithinRange(t, *s.LastSlot, time.Now().Add(-time.Hour), time.Now().Add(-4*time.Minute))
	require.True(t, s.Next.After(time.Now()))

	w.again(t)
	require.NoError(t, w.pass(t.Context()))
	require.Len(t, w.runs, 2, "no slot waits, so the next one is taken")
}

// The day after which a slot is given up begins anew with each slot for which it
// stands: else a daily schedule would lose its second slot together with the first.
func TestASlotThatWaitsIsGivenUpADayAfterTheLastOneItStandsFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, rarely, 5)
	w.fail = []error{errors.New("away"), errors.New("away")}
	require.NoError(t, w.pass(t.Context()))
	w.exec(t, "update schedule_due set create_time = now() - interval '23 hours'")
	w.again(t)
	require.NoError(t, w.pass(t.Context()))
	w.exec(t, "update schedule_due set create_time = create_time - interval '2 hours'")
	require.NoError(t, w.pass(t.Context()))
	require.EqualValues(t, 1, *w.only(t).LastRun)
}

func TestASlotThatWasGivenUpStandsForNoOther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, rarely, 5)
	w.fail = []error{errs.Unavailable("OFF", "away")}
	require.NoError(t, w.pass(t.Context()))
	w.exec(t, "update schedule_due set create_time = now() - interval '25 hours'")
	w.again(t)
	require.NoError(t, w.pass(t.Context()))
	require.NotNil(t, w.only(t).LastRun)
	require.WithinDuration(t, time.Now(), *w.only(t).LastSlot, 2*time.Minute)
}

// Replicas start the slots of a schedule while others take its next ones.
func TestTakingAndStartingDoNotDeadlock(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.crowd(t, 1, 3)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			for i := range 20 {
				if _, err := w.db.Pool.Exec(t.Context(), "update schedule set next_slot_time = clock_timestamp() where id = $1", 1+i%3); err != nil {
					return err
				}
				if err := w.store.Pass(t.Context(), w.start, log); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Empty(t, lines.String())
}

func TestASlotThatWasMissedLongAgoIsCaughtUp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, everyMinute, 31*24*60)
	require.NoError(t, w.pass(t.Context()))
	require.Len(t, w.runs, 1)
}
