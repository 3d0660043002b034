package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/schedule"
)

const dueSchedules = `-- store.dueSchedules
	select ` + scheduleColumns + ` from sync_schedule
	where next_slot_time <= now()
	order by next_slot_time limit 100
	for update skip locked`

const takeSlots = `-- store.takeSlots
	insert into schedule_slot (sync_schedule_id, slot_time)
	select * from unnest($1::bigint[], $2::timestamptz[])
	on conflict on constraint schedule_slot_once do nothing`

const advanceSchedules = `-- store.advanceSchedules
	update sync_schedule set last_slot_time = s.slot, next_slot_time = s.next, paused = s.next is null
	from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as s (id, slot, next)
	where sync_schedule.id = s.id`

const forgetSlots = `-- store.forgetSlots
	delete from schedule_slot where sync_schedule_id = any($1) and slot_time < now() - interval '30 days'`

// TakeSlots takes the slots that are due, each once whoever asks, and moves
// their schedules on. However many slots went by, one is taken per schedule. It
// answers how many; they are started from [Store.PendingSlots].
func (s *Store) TakeSlots(ctx context.Context) (int, error) {
	taken := 0
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, dueSchedules)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, scanSchedule)
		if err != nil || len(due) == 0 {
			return err
		}
		now, err := databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		taken = len(due)
		return advance(ctx, tx, due, now)
	})
	if err != nil {
		return 0, fmt.Errorf("take slots: %w", err)
	}
	return taken, nil
}

func advance(ctx context.Context, tx pgx.Tx, due []schedule.Schedule, now time.Time) error {
	ids, slots, next := make([]int64, len(due)), make([]time.Time, len(due)), make([]*time.Time, len(due))
	for i, d := range due {
		ids[i], slots[i], next[i] = d.ID, *d.Next, d.After(now)
	}
	if _, err := tx.Exec(ctx, takeSlots, ids, slots); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, advanceSchedules, ids, slots, next); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, forgetSlots, ids)
	return err
}

// Pending is a slot that was taken and whose run is not known to be started.
type Pending struct {
	schedule.Schedule
	Slot time.Time
}

// A slot that could not be started for a day is let go: it would be no help any more.
const pendingSlots = `-- store.pendingSlots
	select s.id, s.workspace_id, s.tenant_id, s.types, p.slot_time
	from schedule_slot as p join sync_schedule as s on s.id = p.sync_schedule_id
	where p.operation_run_id is null and p.create_time > now() - interval '1 day'
	order by p.create_time limit 100`

// PendingSlots answers slots to start, oldest first.
func (s *Store) PendingSlots(ctx context.Context) ([]Pending, error) {
	rows, err := s.db.Query(ctx, pendingSlots)
	if err != nil {
		return nil, fmt.Errorf("pending slots: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Pending, error) {
		var p Pending
		err := row.Scan(&p.ID, &p.WorkspaceID, &p.TenantID, &p.Types, &p.Slot)
		return p, err
	})
}

const slotStarted = `-- store.slotStarted
	with started as (
		update schedule_slot set operation_run_id = $3
		where sync_schedule_id = $1 and slot_time = $2 returning sync_schedule_id, slot_time)
	update sync_schedule set last_operation_run_id = $3
	from started where id = started.sync_schedule_id and last_slot_time = started.slot_time`

// SlotStarted remembers the run of a slot.
func (s *Store) SlotStarted(ctx context.Context, p Pending, runID int64) error {
	if _, err := s.db.Exec(ctx, slotStarted, p.ID, p.Slot, runID); err != nil {
		return fmt.Errorf("slot of schedule %d started: %w", p.ID, err)
	}
	return nil
}

const letGo = `-- store.letGo
	delete from schedule_slot where sync_schedule_id = $1 and slot_time = $2 and operation_run_id is null`

// LetGo forgets a slot that was taken and cannot be started. It is not taken
// again: its schedule has moved on.
func (s *Store) LetGo(ctx context.Context, p Pending) error {
	if _, err := s.db.Exec(ctx, letGo, p.ID, p.Slot); err != nil {
		return fmt.Errorf("let go a slot of schedule %d: %w", p.ID, err)
	}
	return nil
}
