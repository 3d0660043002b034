package schedule_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

const workspaceID, tenantID = 3, 7

// rarely has no second slot, whenever the test runs: a minute may end in any of them.
const rarely, everyMinute = "0 0 1 1 *", "* * * * *"

type details struct{ Types []string }

type world struct {
	db    *pgtest.DB
	store *schedule.Store[details]
	log   *slog.Logger

	mu      sync.Mutex
	runs    map[string]int64 // by request id, as the run store remembers them
	details []details
	fail    []error // of the next calls
}

func migrate(ctx context.Context, ownerURL string) error {
	return schedule.Migrate(ctx, ownerURL, "inventory_app")
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{db: pgtest.New(t, "inventory", migrate), runs: map[string]int64{}, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	w.store = schedule.New[details](w.db.Pool, "sync schedule")
	return w
}

// start starts a run once per request id, also if its reply is an error.
func (w *world) start(_ context.Context, slot schedule.Slot[details]) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.details = append(w.details, slot.Details)
	var fail error
	if len(w.fail) > 0 {
		fail, w.fail = w.fail[0], w.fail[1:]
	}
	if errs.Code(fail) == codes.InvalidArgument {
		return 0, fail
	}
	if _, ok := w.runs[slot.RequestID()]; !ok {
		w.runs[slot.RequestID()] = int64(len(w.runs)) + 1
	}
	if fail != nil {
		return 0, fail
	}
	return w.runs[slot.RequestID()], nil
}

func (w *world) pass(ctx context.Context) error { return w.store.Pass(ctx, w.start, w.log) }

func (w *world) create(t *testing.T, cron string) schedule.Schedule[details] {
	t.Helper()
	s, err := w.store.Create(t.Context(), schedule.Schedule[details]{
		WorkspaceID: workspaceID, TenantID: tenantID, DisplayName: "nightly", Cron: cron, Zone: "UTC", Details: details{Types: []string{"b"}},
	}, once.Request{})
	require.NoError(t, err)
	return s
}

// due creates a schedule whose next slot was so many minutes ago.
func (w *world) due(t *testing.T, cron string, minutes int) schedule.Schedule[details] {
	t.Helper()
	s := w.create(t, cron)
	w.exec(t, "update schedule set next_slot_time = date_trunc('minute', now()) - make_interval(mins => $2) where id = $1", s.ID, minutes)
	return s
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := w.db.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (w *world) only(t *testing.T) schedule.Schedule[details] {
	t.Helper()
	all, err := w.store.List(t.Context(), workspaceID, tenantID, page.Page[int64]{Limit: 10})
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
	require.Len(t, w.runs, 1)
	s := w.only(t)
	require.EqualValues(t, 1, *s.LastRun)
	require.True(t, s.Next.After(*s.LastSlot))
	require.Equal(t, []string{"b"}, w.details[0].Types)
}

func TestMissedSlotsAreCaughtUpWithOneRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, everyMinute, 600)
	require.NoError(t, w.pass(t.Context()))
	require.NoError(t, w.pass(t.Context()))
	require.Len(t, w.runs, 1)
	require.WithinRange(t, *w.only(t).Next, time.Now(), time.Now().Add(61*time.Second))
}

// The process ends between taking the slot and starting it, or the reply of the
// start is lost: another pass starts the run, and there is one run.
func TestASlotWhoseStartFailedIsStartedLater(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, rarely, 0)
	w.fail = []error{errors.New("the reply is lost"), errs.Unavailable("OFF", "away")}
	for range 2 {
		require.NoError(t, w.pass(t.Context()))
		require.Nil(t, w.only(t).LastRun)
	}
	require.NoError(t, w.pass(t.Context()))
	require.EqualValues(t, 1, *w.only(t).LastRun)
	require.Len(t, w.runs, 1, "the same request id, the same run")
	started := len(w.details)
	require.NoError(t, w.pass(t.Context()))
	require.Len(t, w.details, started, "a slot whose run is known is not started again")
}

func TestASlotThatIsInvalidIsGivenUp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, rarely, 0)
	w.fail = []error{errs.Invalid("types", "are not known")}
	require.NoError(t, w.pass(t.Context()))
	require.NoError(t, w.pass(t.Context()))
	require.Empty(t, w.runs)
	require.Len(t, w.details, 1, "the slot is not taken again")
}

func TestASlotThatCouldNotBeStartedForADayIsGivenUp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.due(t, rarely, 0)
	w.fail = []error{errs.Unavailable("OFF", "away")}
	require.NoError(t, w.pass(t.Context()))
	w.exec(t, "update schedule_due set create_time = now() - interval '25 hours'")
	require.NoError(t, w.pass(t.Context()))
	require.Len(t, w.details, 1)
}

func TestAPausedScheduleStartsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.due(t, rarely, 0)
	paused := true
	now, err := w.store.Update(t.Context(), workspaceID, s.ID, schedule.Change{Paused: &paused})
	require.NoError(t, err)
	require.Nil(t, now.Next)
	require.NoError(t, w.pass(t.Context()))
	require.Empty(t, w.runs)
}

func TestARepeatedCreateMakesOneSchedule(t *testing.T) {
	t.Parallel()
	w := setup(t)
	request := once.Request{Caller: "gateway", ID: "r1", Digest: once.Digest([]byte("a"))}
	n := schedule.Schedule[details]{WorkspaceID: workspaceID, TenantID: tenantID, Cron: rarely, Zone: "UTC"}
	ids := make([]int64, 8)
	var group errgroup.Group
	for i := range ids {
		group.Go(func() error {
			made, err := w.store.Create(t.Context(), n, request)
			ids[i] = made.ID
			return err
		})
	}
	require.NoError(t, group.Wait())
	for _, id := range ids {
		require.Equal(t, w.only(t).ID, id)
	}
	request.Digest = once.Digest([]byte("b"))
	_, err := w.store.Create(t.Context(), n, request)
	require.Equal(t, "REQUEST_ID_REUSED", errs.Reason(err))
	request.ID, n.Zone = "r2", "Mars/Olympus"
	_, err = w.store.Create(t.Context(), n, request)
	require.Equal(t, codes.InvalidArgument, errs.Code(err))
	n.Zone = "UTC"
	_, err = w.store.Create(t.Context(), n, request)
	require.NoError(t, err, "a request that was refused is not remembered")
}

func TestAScheduleOfOthersIsNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.create(t, rarely)
	_, err := w.store.Update(t.Context(), workspaceID+1, s.ID, schedule.Change{})
	require.Equal(t, codes.NotFound, errs.Code(err))
	require.Equal(t, codes.NotFound, errs.Code(w.store.Delete(t.Context(), workspaceID+1, s.ID)))
	require.NoError(t, w.store.Delete(t.Context(), workspaceID, s.ID))
	require.Equal(t, codes.NotFound, errs.Code(w.store.Delete(t.Context(), workspaceID, s.ID)))
}

// A slot that is being started when its schedule is deleted goes with it.
func TestDeletingAScheduleWhileItsSlotStarts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := w.due(t, rarely, 0)
	require.NoError(t, w.store.Pass(t.Context(), func(ctx context.Context, slot schedule.Slot[details]) (int64, error) {
		if err := w.store.Delete(ctx, workspaceID, s.ID); err != nil {
			return 0, err
		}
		return w.start(ctx, slot)
	}, w.log))
	require.Len(t, w.runs, 1)
	require.NoError(t, w.pass(t.Context()))
	require.Len(t, w.details, 1)
}

func TestImpossibleRowsCannotBeStored(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.db.Pool.Exec(t.Context(), `insert into schedule (workspace_id, tenant_id, display_name, cron, time_zone, paused, details)
		values (1, 1, '', '', '', false, '{}')`)
	require.ErrorContains(t, err, "schedule_next_slot_unless_paused")
}
