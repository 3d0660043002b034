package watch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/store"
)

func TestASnapshotThenEveryChangeInOrder(t *testing.T) {
	t.Parallel()
	h := replica(t, database(t).Pool)
	before := start(t, h, "before")
	complete(t, h, start(t, h, "long over"))
	w := watch(t, h, Filter{WorkspaceID: 1}, nil)
	require.Equal(t, fmt.Sprint("snapshot ", before.ID), w.next(t).String())
	require.Equal(t, "bookmark", w.next(t).String())
	after := start(t, h, "after")
	require.Equal(t, fmt.Sprint("created ", after.ID), w.next(t).String())
	complete(t, h, before)
	told := w.next(t)
	require.Equal(t, fmt.Sprint("completed ", before.ID), told.String())
	require.Equal(t, 2, told.Change.Event.Sequence)
	require.EqualValues(t, "succeeded", told.Change.Run.Outcome)
	complete(t, h, after)
	require.Equal(t, fmt.Sprint("completed ", after.ID), w.next(t).String())
}

func TestProgressIsToldAtOnceAndThenAsTheLatestValue(t *testing.T) {
	t.Parallel()
	h := replica(t, database(t).Pool)
	r := start(t, h, "x")
	w := watch(t, h, Filter{WorkspaceID: 1}, nil)
	w.next(t)
	w.next(t)
	report := func(n int64) {
		_, err := h.store.Progress(t.Context(), "inventory", r.ID, r.Epoch, map[string]int64{"processed": n})
		require.NoError(t, err)
	}
	begun := time.Now()
	var last int64
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Since(begun) < time.Second {
		last++
		report(last)
		<-tick.C
	}
	tellings := 0
	var told Told
	for told.Change == nil || told.Change.Run.Counts["processed"] != last {
		told = w.next(t)
		require.Nil(t, told.Change.Event)
		tellings++
	}
	require.GreaterOrEqual(t, tellings, 2)
	require.LessOrEqual(t, tellings, 2+int(time.Since(begun)/retell), "%d reports", last)
	report(last) // nothing new
	complete(t, h, r)
	require.Equal(t, fmt.Sprint("completed ", r.ID), w.next(t).String())
}

// If there is no room for a run that reported, the poll finds it again.
func TestMoreProgressThanThereIsRoomForIsToldLater(t *testing.T) {
	t.Parallel()
	db := database(t)
	h, theirs := replica(t, db.Pool), store.New(db.Pool, run.DefaultTypes())
	r := start(t, h, "x")
	w := watch(t, h, Filter{WorkspaceID: 1}, nil)
	w.next(t)
	w.next(t)
	require.True(t, h.takeTurn(t.Context()))
	p := &h.progress
	others := make([]int64, most)
	for i := range others {
		others[i] = r.ID + 1 + int64(i)
	}
	p.add(others)
	_, err := theirs.Progress(t.Context(), "inventory", r.ID, r.Epoch, map[string]int64{"processed": 1})
	require.NoError(t, err)
	require.NoError(t, p.look(t.Context(), h.store, []int64{1}))
	require.Len(t, p.due(time.Now()), most)
	h.endTurn()
	h.scan.Store(true)
	nudge(h.wake)
	require.Equal(t, fmt.Sprint("progress ", r.ID, " ", map[string]int64{"processed": 1}), w.next(t).String())
}

// What other replicas commit is delivered, too: by their hints, and without hints by the poll.
func TestAnotherReplicasChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Hub){
		"hinted": func(*Hub) {},
		"polled": func(h *Hub) { h.poll, h.name = 100*time.Millisecond, "deaf" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := database(t)
			ours, theirs := replica(t, db.Pool, change), replica(t, db.Pool, change)
			w := watch(t, ours, Filter{WorkspaceID: 1}, nil)
			require.Equal(t, "bookmark", w.next(t).String())
			r := start(t, theirs, "x")
			require.Equal(t, fmt.Sprint("created ", r.ID), w.next(t).String())
			for n := range int64(3) {
				_, err := theirs.store.Progress(t.Context(), "inventory", r.ID, r.Epoch, map[string]int64{"processed": n + 1})
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint("progress ", r.ID, " ", map[string]int64{"processed": n + 1}), w.next(t).String())
			}
			complete(t, theirs, r)
			require.Equal(t, fmt.Sprint("completed ", r.ID), w.next(t).String())
		})
	}
}

// Transactions of fifty writers overlap and end in any order. Watchers leave and resume, at
// one of two replicas. Each is told every event exactly once, and the events of a run in
// their order.
func TestNothingIsLostAndNothingComesTwice(t *testing.T) {
	t.Parallel()
	const writers, events, watchers = 50, 15, 6
	db := database(t)
	hubs := []*Hub{replica(t, pool(t, db, 8), often), replica(t, pool(t, db, 8), often)}
	busy := pool(t, db, writers)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ready := make(chan struct{}, watchers)
	var group errgroup.Group
	for i := range watchers {
		group.Go(func() error { return tally(ctx, hubs, i, writers*events, ready) })
	}
	for range watchers {
		<-ready
	}
	for i := range writers {
		group.Go(func() error { return slowly(ctx, busy, fmt.Sprint("w", i), events) })
	}
	require.NoError(t, group.Wait())
}

func often(h *Hub) { h.poll = 7 * time.Millisecond }

// tally watches until it was told want events. Every few events it leaves and resumes. It
// checks what it is told.
func tally(ctx context.Context, hubs []*Hub, turn, want int, ready chan<- struct{}) error {
	seen := map[int64]int{} // the sequence of the last event, by run
	var from *snapshot.Position
	count := 0
	for count < want {
		turn++
		patience := 3 + turn%11
		err := follow(ctx, hubs[turn%len(hubs)], from, func(told Told) error {
			if told.Snapshot == nil {
				from = &told.At
			}
			if told.Change == nil {
				select {
				case ready <- struct{}{}:
				default:
				}
				return nil
			}
			e := told.Change.Event
			if e.Sequence != seen[e.RunID]+1 {
				return fmt.Errorf("event %d of run %d after event %d", e.Sequence, e.RunID, seen[e.RunID])
			}
			seen[e.RunID]++
			count++
			if patience--; patience == 0 || count == want {
				return errLeave
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("after %d events: %w", count, err)
		}
	}
	return nil
}

var errLeave = errors.New("enough for now")

func follow(ctx context.Context, h *Hub, from *snapshot.Position, tell func(Told) error) error {
	err := h.Watch(ctx, Filter{WorkspaceID: 1}, from, tell)
	if err == errLeave { //nolint:errorlint // the very one
		return nil
	}
	return err
}

func TestABookmarkIsWorthAToken(t *testing.T) {
	t.Parallel()
	h := replica(t, database(t).Pool, func(h *Hub) { h.bookmark = 50 * time.Millisecond })
	w := watch(t, h, Filter{WorkspaceID: 2}, nil)
	first := w.next(t)
	for i := range 5 { // of workspace 1: not told here, but passed
		complete(t, h, start(t, h, fmt.Sprint(i)))
	}
	late := watch(t, h, Filter{WorkspaceID: 1}, nil)
	late.next(t)
	complete(t, h, start(t, h, "last"))
	late.event(t)
	late.event(t)
	var told Told
	for !told.At.After.Newer(first.At.After) {
		told = w.next(t)
		require.Equal(t, "bookmark", told.String())
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	h := replica(t, database(t).Pool)
	mine, other := start(t, h, "mine"), start(t, h, "other")
	five, six := int64(5), int64(6)
	tests := map[string]struct {
		filter Filter
		mine   bool
		other  bool
	}{
		"workspace":         {Filter{WorkspaceID: 1}, true, true},
		"another workspace": {Filter{WorkspaceID: 2}, false, false},
		"tenant":            {Filter{WorkspaceID: 1, TenantID: &five}, true, true},
		"another tenant":    {Filter{WorkspaceID: 1, TenantID: &six}, false, false},
		"type":              {Filter{WorkspaceID: 1, Types: []string{"backup_verify", "inventory_sync"}}, true, true},
		"another type":      {Filter{WorkspaceID: 1, Types: []string{"backup_verify"}}, false, false},
		"run":               {Filter{WorkspaceID: 1, RunIDs: []int64{mine.ID}}, true, false},
		"run elsewhere":     {Filter{WorkspaceID: 2, RunIDs: []int64{mine.ID}}, false, false},
	}
	watches := map[string]*watching{}
	for name, tt := range tests {
		w := watch(t, h, tt.filter, nil)
		watches[name] = w
		for _, r := range []struct {
			id   int64
			told bool
		}{{mine.ID, tt.mine}, {other.ID, tt.other}} {
			if r.told {
				require.Equal(t, fmt.Sprint("snapshot ", r.id), w.next(t).String(), name)
			}
		}
		require.Equal(t, "bookmark", w.next(t).String(), name)
	}
	complete(t, h, mine)
	complete(t, h, other)
	for name, tt := range tests {
		if tt.mine {
			require.Equal(t, fmt.Sprint("completed ", mine.ID), watches[name].next(t).String(), name)
		}
		if tt.other {
			require.Equal(t, fmt.Sprint("completed ", other.ID), watches[name].next(t).String(), name)
		}
	}
	for name, w := range watches {
		select {
		case told := <-w.told:
			t.Errorf("%s: told %v", name, told)
		default:
		}
	}
}

// A watcher that is too slow is cut off and can resume. The others do not notice.
func TestASlowConsumerIsCutOffAndCanGoOn(t *testing.T) {
	t.Parallel()
	db := database(t)
	h := replica(t, db.Pool)
	slow, quick := watch(t, h, Filter{WorkspaceID: 1}, nil), watch(t, h, Filter{WorkspaceID: 1}, nil)
	at := slow.next(t).At
	quick.next(t)
	all := make(chan struct{})
	var runs errgroup.Group
	runs.SetLimit(20)
	const many = mailbox/2 + 50
	go func() {
		for range 2 * many {
			quick.event(t)
		}
		close(all)
	}()
	for i := range many {
		runs.Go(func() error {
			s, err := h.store.Start(t.Context(), ask(t, h, fmt.Sprint(i)))
			if err == nil {
				_, err = h.store.Cancel(t.Context(), s.Run.ID, "x", "")
			}
			return err
		})
	}
	require.NoError(t, runs.Wait())
	<-all
	require.Equal(t, ReasonSlowConsumer, errs.Reason(slow.end(t)))
	again := watch(t, h, Filter{WorkspaceID: 1}, &at)
	for range 2 * many {
		again.event(t)
	}
	require.Equal(t, "bookmark", again.next(t).String())
}

func TestAPositionOfLongAgoIsRefused(t *testing.T) {
	t.Parallel()
	db := database(t)
	h := replica(t, db.Pool)
	w := watch(t, h, Filter{WorkspaceID: 1}, nil)
	at := w.next(t).At
	r := start(t, h, "x")
	require.Equal(t, fmt.Sprint("created ", r.ID), w.next(t).String())
	_, err := db.Pool.Exec(t.Context(), `insert into run_event (run_id, sequence, kind, actor, status, outcome, lease_epoch, attempt)
		select $1, n + 1000, 'begun', 'x', 'running', 'pending', 1, 1 from generate_series(1, 100000) n`, r.ID)
	require.NoError(t, err)
	h.committed()
	require.Equal(t, ReasonSlowConsumer, errs.Reason(w.end(t)), "the hub does not read it all either")
	again := watch(t, h, Filter{WorkspaceID: 1}, &at)
	require.Equal(t, ReasonTokenTooOld, errs.Reason(again.end(t)))
	anew := watch(t, h, Filter{WorkspaceID: 1}, nil)
	require.Equal(t, fmt.Sprint("snapshot ", r.ID), anew.next(t).String())
	anew.next(t)
	_, err = h.store.Cancel(t.Context(), r.ID, "x", "")
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint("cancel_requested ", r.ID), anew.next(t).String())
}

// A replica that is alone sends no hints, and notices when another one listens.
func TestAReplicaAloneHintsAtNobody(t *testing.T) {
	t.Parallel()
	db := database(t)
	h := replica(t, db.Pool, func(h *Hub) { h.name = "h" })
	listening := func(name string) func() bool {
		return func() bool {
			others, err := h.store.OthersListen(t.Context(), name)
			return err == nil && others
		}
	}
	require.Eventually(t, listening("somebody"), 10e9, 1e7, "h listens itself")
	require.False(t, h.accompanied(t.Context()))
	replica(t, db.Pool, func(h *Hub) { h.name = "i" })
	require.Eventually(t, func() bool { return h.accompanied(t.Context()) }, 10e9, 1e7)
}
