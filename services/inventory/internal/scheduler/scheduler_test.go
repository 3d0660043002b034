package scheduler_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/pkg/work/worktest"
	"github.com/tenantpilot/tenantpilot/services/inventory"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/scheduler"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

type world struct {
	db         *pgtest.DB
	store      *schedule.Store[item.Repeated]
	operations *rpctest.Service
	runs       *worktest.Store
	scheduler  *scheduler.Scheduler
	log        *slog.Logger
}

func (w *world) pass(ctx context.Context) error { return w.store.Pass(ctx, w.scheduler.Start, w.log) }

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{db: pgtest.New(t, inventory.Name, inventory.Service.Migrate), runs: worktest.New(worktest.Options{})}
	w.store = schedule.New[item.Repeated](w.db.Pool, "sync schedule")
	w.operations = rpctest.Serve(t, "operations", w.runs.Register)
	w.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	worker, err := work.New(work.Config{
		Settings: work.Settings{Workers: 1, Heartbeat: time.Second, Sweep: time.Second}, Service: "inventory", Pool: w.db.Pool, Log: w.log,
		Operations: w.operations.Dial(t, "inventory"),
		Jobs:       map[string]work.Job{"inventory_sync": func(context.Context, *work.Run) (work.Result, error) { return work.Result{}, nil }},
	})
	require.NoError(t, err)
	w.scheduler = &scheduler.Scheduler{Worker: worker, Types: []string{"a", "b"}}
	return w
}

type syncSchedule = schedule.Schedule[item.Repeated]

// rarely has no second slot, whenever the test runs: a minute may end in any of them.
const rarely, everyMinute = "0 0 1 1 *", "* * * * *"

// due makes a schedule whose next slot was so many minutes ago.
func (w *world) due(t *testing.T, cron string, minutes int) syncSchedule {
	t.Helper()
	s, err := w.store.Create(t.Context(), syncSchedule{
		WorkspaceID: 3, TenantID: 7, DisplayName: "nightly", Cron: cron, Zone: "UTC", Details: item.Repeated{Types: []string{"b"}},
	}, once.Request{})
	require.NoError(t, err)
	_, err = w.db.Pool.Exec(t.Context(),
		"update schedule set next_slot_time = date_trunc('minute', now()) - make_interval(mins => $2) where id = $1", s.ID, minutes)
	require.NoError(t, err)
	return s
}

func (w *world) schedule(t *testing.T) syncSchedule {
	t.Helper()
	all, err := w.store.List(t.Context(), 3, 7, page.Page[int64]{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

func TestASlotIsStartedOnceHoweverManyLook(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, rarely, 0)
	var group errgroup.Group
	for range 8 {
		group.Go(func() error { return w.pass(t.Context()) })
	}
	require.NoError(t, group.Wait())
	require.Equal(t, 1, w.runs.Runs())
	s := w.schedule(t)
	require.EqualValues(t, 1, *s.LastRun)
	require.True(t, s.Next.After(*s.LastSlot))
	req := w.runs.Requests()[0]
	require.Equal(t, "schedule", req.GetInitiatorName())
	require.Equal(t, "schedule", req.GetContext().GetFields()["trigger"].GetStringValue())
	require.Equal(t, "1", req.GetContext().GetFields()["sync_schedule_id"].GetStringValue())
}

func TestSlotsMissedAreCaughtUpWithOneRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, everyMinute, 600)
	require.NoError(t, w.pass(t.Context()))
	w.runs.Complete()
	require.NoError(t, w.pass(t.Context()))
	require.Equal(t, 1, w.runs.Runs())
	require.WithinRange(t, *w.schedule(t).Next, time.Now(), time.Now().Add(61*time.Second))
}

func TestASlotWhoseStartFailedIsStartedLater(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.operations.FailCall(1, "StartRun", errs.Conflict("NOT_NOW", "not now"))
		w.startsAtTheSecondLook(t)
	})
	t.Run("answer lost", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		for n := range 5 { // each of the client's attempts
			w.operations.LoseReply(n+1, "StartRun")
		}
		w.startsAtTheSecondLook(t)
	})
}

func (w *world) startsAtTheSecondLook(t *testing.T) {
	t.Helper()
	w.due(t, rarely, 0)
	require.NoError(t, w.pass(t.Context()))
	require.Nil(t, w.schedule(t).LastRun)
	w.runs.Complete()
	require.NoError(t, w.pass(t.Context()))
	require.Equal(t, 1, w.runs.Runs(), "the same request id, the same run")
	require.NotNil(t, w.schedule(t).LastRun)
}

// A slot that can never start must not stand before those that can, for a day.
func TestASlotThatIsRefusedForGoodIsLetGo(t *testing.T) {
	t.Parallel()
	t.Run("a type this version lacks", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.scheduler.Types = []string{"a"}
		w.letsGo(t)
	})
	t.Run("refused by operations", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.operations.FailCall(1, "StartRun", errs.Invalid("context", "is too long"))
		w.letsGo(t)
	})
}

func (w *world) letsGo(t *testing.T) {
	t.Helper()
	w.due(t, rarely, 0)
	require.NoError(t, w.pass(t.Context()))
	var taken int
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), "select count(*) from schedule_due").Scan(&taken))
	require.Zero(t, taken)
	require.NoError(t, w.pass(t.Context()))
	require.Zero(t, w.runs.Runs(), "the slot is not taken again")
}

func TestAPausedScheduleStartsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.due(t, rarely, 0)
	paused := true
	_, err := w.store.Update(t.Context(), 3, s.ID, schedule.Change{Paused: &paused})
	require.NoError(t, err)
	require.NoError(t, w.pass(t.Context()))
	require.Zero(t, w.runs.Runs())
}
