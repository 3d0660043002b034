package store_test

import (
	"context"
	"io/fs"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/schedule"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/inventory"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/store"
)

// before makes the database of a binary that kept schedules itself.
func before(ctx context.Context, ownerURL string) error {
	first, err := fs.ReadFile(store.Migrations(), "0001_inventory.sql")
	if err != nil {
		return err
	}
	return pg.Migrate(ctx, ownerURL, fstest.MapFS{"0001_inventory.sql": {Data: first}})
}

// The statements of that binary.
const (
	oldCreate = `
		insert into sync_schedule (workspace_id, tenant_id, display_name, types, cron, time_zone, paused, next_slot_time,
			caller, request_id, request_digest)
		values (3, 7, $1, $2, '0 3 * * *', 'UTC', false, $3, 'gateway', nullif($4, ''), $5)
		on conflict on constraint sync_schedule_request do nothing
		returning id`
	oldRequested = `
		select id from sync_schedule
		where workspace_id = 3 and caller = 'gateway' and request_id = $1 and request_digest = $2`
	oldUpdate = `
		update sync_schedule set display_name = $2, cron = '0 4 * * *', time_zone = 'UTC', paused = true, next_slot_time = null, update_time = now()
		where id = $1`
	oldDue = `
		select id from sync_schedule where next_slot_time <= now() order by next_slot_time limit 100 for update skip locked`
	oldTake = `
		insert into schedule_slot (sync_schedule_id, slot_time)
		select * from unnest($1::bigint[], $2::timestamptz[])
		on conflict on constraint schedule_slot_once do nothing`
	oldAdvance = `
		update sync_schedule set last_slot_time = s.slot, next_slot_time = s.next, paused = s.next is null
		from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as s (id, slot, next)
		where sync_schedule.id = s.id`
	oldStarted = `
		with started as (
			update schedule_slot set operation_run_id = $3
			where sync_schedule_id = $1 and slot_time = $2 returning sync_schedule_id, slot_time)
		update sync_schedule set last_operation_run_id = $3
		from started where id = started.sync_schedule_id and last_slot_time = started.slot_time`
	oldDelete = `delete from sync_schedule where workspace_id = 3 and id = $1`
)

type upgrade struct {
	*pgtest.DB
	schedules *schedule.Store[item.Repeated]
}

// beforeUpgrade returns a database that is not migrated yet.
func beforeUpgrade(t *testing.T) upgrade {
	t.Helper()
	db := pgtest.New(t, inventory.Name, before)
	return upgrade{DB: db, schedules: schedule.New[item.Repeated](db.Pool, "sync schedule")}
}

func (u upgrade) migrate(t *testing.T) {
	t.Helper()
	require.NoError(t, inventory.Service.Migrate(t.Context(), u.OwnerURL))
}

func (u upgrade) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := u.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (u upgrade) oldCreate(t *testing.T, name string, next time.Time, request string) (id int64) {
	t.Helper()
	err := u.Pool.QueryRow(t.Context(), oldCreate, name, []string{"a", "b"}, next, request, once.Digest([]byte(name))).Scan(&id)
	require.NoError(t, err)
	return id
}

func (u upgrade) list(t *testing.T) []schedule.Schedule[item.Repeated] {
	t.Helper()
	all, err := u.schedules.List(t.Context(), 3, 7, page.Page[int64]{Limit: 10})
	require.NoError(t, err)
	return all
}

// same fails unless the old and the new tables hold the same.
func (u upgrade) same(t *testing.T) {
	t.Helper()
	for _, sql := range []string{`
		select count(*) from (
			select id, workspace_id, tenant_id, display_name, cron, time_zone, paused, next_slot_time, last_slot_time,
				last_operation_run_id, create_time, update_time, to_jsonb(types) as types from sync_schedule) o
		full join (
			select id, workspace_id, tenant_id, display_name, cron, time_zone, paused, next_slot_time, last_slot_time,
				last_operation_run_id, create_time, update_time, coalesce(nullif(details -> 'types', 'null'), '[]') as types from schedule) n on o.id = n.id
		where to_jsonb(o) is distinct from to_jsonb(n)`, `
		select count(*) from schedule_slot o full join schedule_due n
			on o.sync_schedule_id = n.schedule_id and o.slot_time = n.slot_time
		where (o.create_time, o.operation_run_id) is distinct from (n.create_time, n.operation_run_id)`,
	} {
		require.Zero(t, count(t, u.Pool, sql))
	}
}

func TestSchedulesOfBeforeAreKept(t *testing.T) {
	t.Parallel()
	u := beforeUpgrade(t)
	slot := time.Now().Add(-time.Hour).Truncate(time.Minute).UTC()
	next := slot.Add(24 * time.Hour)
	id := u.oldCreate(t, "nightly", next, "r1")
	paused := u.oldCreate(t, "paused", next, "")
	u.exec(t, oldTake, []int64{id}, []time.Time{slot})
	u.exec(t, oldAdvance, []int64{id}, []time.Time{slot}, []time.Time{next})
	u.exec(t, oldStarted, id, slot, 42)
	u.exec(t, oldUpdate, paused, "paused")
	u.migrate(t)
	u.migrate(t)

	u.same(t)
	all := u.list(t)
	require.Len(t, all, 2)
	require.Equal(t, []string{"a", "b"}, all[0].Details.Types)
	require.Equal(t, next, all[0].Next.UTC())
	require.EqualValues(t, 42, *all[0].LastRun)
	require.True(t, all[1].Paused)
	n := schedule.Schedule[item.Repeated]{WorkspaceID: 3, TenantID: 7, Cron: "0 3 * * *", Zone: "UTC"}
	again, err := u.schedules.Create(t.Context(), n, once.Request{Caller: "gateway", ID: "r1", Digest: once.Digest([]byte("nightly"))})
	require.NoError(t, err)
	require.Equal(t, id, again.ID, "the request that made it is remembered")
	_, err = u.schedules.Create(t.Context(), n, once.Request{Caller: "gateway", ID: "r1", Digest: once.Digest([]byte("other"))})
	require.Equal(t, "REQUEST_ID_REUSED", errs.Reason(err))
}

// What a binary of before does is seen by the new one.
func TestABinaryOfBeforeWorksAfterTheMigration(t *testing.T) {
	t.Parallel()
	u := beforeUpgrade(t)
	u.migrate(t)
	slot := time.Now().Add(-time.Minute).Truncate(time.Minute).UTC()
	next := slot.Add(24 * time.Hour)
	id := u.oldCreate(t, "nightly", slot, "r1")
	u.same(t)
	require.Equal(t, 1, count(t, u.Pool, "select count(*) from ("+oldDue+") as due"))
	u.exec(t, oldTake, []int64{id}, []time.Time{slot})
	u.exec(t, oldAdvance, []int64{id}, []time.Time{slot}, []time.Time{next})
	u.exec(t, oldStarted, id, slot, 42)
	u.same(t)
	require.EqualValues(t, 42, *u.list(t)[0].LastRun)
	again, err := u.schedules.Create(t.Context(), schedule.Schedule[item.Repeated]{WorkspaceID: 3, Cron: "0 3 * * *", Zone: "UTC"},
		once.Request{Caller: "gateway", ID: "r1", Digest: once.Digest([]byte("nightly"))})
	require.NoError(t, err)
	require.Equal(t, id, again.ID)
	u.exec(t, oldUpdate, id, "paused")
	u.same(t)
	require.True(t, u.list(t)[0].Paused)
	u.exec(t, oldDelete, id)
	u.same(t)
	require.Empty(t, u.list(t))
}

// What the new binary does is seen by one of before, which may be the one that stays.
func TestABinaryOfBeforeSeesWhatTheNewOneDoes(t *testing.T) {
	t.Parallel()
	u := beforeUpgrade(t)
	u.oldCreate(t, "first", time.Now().Add(time.Hour), "")
	u.migrate(t)
	request := once.Request{Caller: "gateway", ID: "r1", Digest: once.Digest([]byte("second"))}
	made, err := u.schedules.Create(t.Context(), schedule.Schedule[item.Repeated]{
		WorkspaceID: 3, TenantID: 7, DisplayName: "second", Cron: "0 3 * * *", Zone: "UTC", Details: item.Repeated{Types: []string{"b"}},
	}, request)
	require.NoError(t, err)
	third := u.oldCreate(t, "third", time.Now().Add(time.Hour), "")
	require.Equal(t, []int64{1, 2, 3}, []int64{1, made.ID, third}, "both give ids that are new")
	u.same(t)
	var found int64
	require.NoError(t, u.Pool.QueryRow(t.Context(), oldRequested, request.ID, request.Digest).Scan(&found))
	require.Equal(t, made.ID, found)

	_, err = u.schedules.Create(t.Context(), schedule.Schedule[item.Repeated]{
		WorkspaceID: 3, TenantID: 8, DisplayName: "all types", Cron: "0 3 * * *", Zone: "UTC",
	}, once.Request{})
	require.NoError(t, err)
	require.Equal(t, 1, count(t, u.Pool, "select count(*) from sync_schedule where types = '{}'"))
	u.exec(t, "update schedule set next_slot_time = now() - interval '1 minute' where id = $1", made.ID)
	start := func(context.Context, schedule.Slot[item.Repeated]) (int64, error) { return 42, nil }
	require.NoError(t, u.schedules.Pass(t.Context(), start, slog.New(slog.DiscardHandler)))
	u.same(t)
	require.Equal(t, 1, count(t, u.Pool, "select count(*) from schedule_slot where operation_run_id = 42"))
	paused := true
	_, err = u.schedules.Update(t.Context(), 3, made.ID, schedule.Change{Paused: &paused})
	require.NoError(t, err)
	u.same(t)
	require.NoError(t, u.schedules.Delete(t.Context(), 3, made.ID))
	u.same(t)
	require.Equal(t, 3, count(t, u.Pool, "select count(*) from sync_schedule"))
}

// A schedule that is being created while the migration runs is not lost.
func TestTheMigrationWaitsForWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	u := beforeUpgrade(t)
	tx, err := u.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), oldCreate, "late", []string{}, time.Now().Add(time.Hour), "", []byte{})
	require.NoError(t, err)
	migrated := make(chan error, 1)
	go func() { migrated <- inventory.Service.Migrate(t.Context(), u.OwnerURL) }()
	require.Eventually(t, func() bool { return waiting(t, u.Pool) }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-migrated)
	u.same(t)
	require.Len(t, u.list(t), 1)
}

// waiting reports whether the migration waits for a lock on the schedules.
func waiting(t *testing.T, db *pgxpool.Pool) bool {
	t.Helper()
	return count(t, db, "select count(*) from pg_locks where relation = 'sync_schedule'::regclass and not granted") > 0
}
