package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
)

// Slot is a slot that was taken and whose run is not known to be started.
type Slot[D any] struct {
	Schedule[D]
	Time time.Time
}

// RequestID returns the request id under which the run of the slot is started.
// It is the same for the same slot, so the run store starts the slot's run once.
func (s Slot[D]) RequestID() string {
	return fmt.Sprintf("schedule:%d:%s", s.ID, s.Time.UTC().Format("2006-01-02T15:04:05+00:00"))
}

// Start starts the run of a slot and returns the run's id. It may be called more
// than once for the same slot, after a crash or by several replicas, and must use
// [Slot.RequestID]. An error that is Invalid gives the slot up. An error that is
// Exhausted means that the workspace may start no more runs now.
type Start[D any] func(ctx context.Context, slot Slot[D]) (runID int64, err error)

// Pass takes the slots that are due, each once however many replicas look, and
// starts all that are taken and not started. The next pass tries again what
// failed. However many slots of a schedule went by while no replica looked, or
// while an earlier slot could not be started, one of them is started. Workspaces
// take turns, and no workspace's slots keep another's waiting.
func (s *Store[D]) Pass(ctx context.Context, start Start[D], log *slog.Logger) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	pending, err := s.pending(ctx)
	if err != nil {
		return err
	}
	if refused := s.startAll(ctx, pending, start, log); len(refused) > 0 {
		log.WarnContext(ctx, "slots wait for room in the run queues of their workspaces", "slots_by_workspace_id", refused)
	}
	return nil
}

// startAll starts slots and returns how many of each workspace wait because its
// run queue is full. Once a workspace's slot was refused for that, the workspace's
// other slots are not tried.
func (s *Store[D]) startAll(ctx context.Context, slots []Slot[D], start Start[D], log *slog.Logger) map[int64]int {
	refused := map[int64]int{}
	for _, slot := range slots {
		if refused[slot.WorkspaceID] > 0 {
			refused[slot.WorkspaceID]++
			continue
		}
		err := s.start(ctx, slot, start, log)
		switch {
		case errs.Code(err) == codes.ResourceExhausted:
			refused[slot.WorkspaceID]++
		case err != nil:
			log.WarnContext(ctx, "slot not started", "schedule_id", slot.ID, "slot_time", slot.Time, "err", err)
		}
	}
	return refused
}

// start gives up a slot that can never be started as it is: for a day it would be
// tried in every pass. The schedule's next slot is taken as ever.
func (s *Store[D]) start(ctx context.Context, slot Slot[D], start Start[D], log *slog.Logger) error {
	run, err := start(ctx, slot)
	switch {
	case errs.Code(err) == codes.InvalidArgument:
		return errors.Join(err, s.giveUp(ctx, slot))
	case err != nil:
		return err
	}
	log.InfoContext(ctx, "slot started", "schedule_id", slot.ID, "slot_time", slot.Time, "run_id", run)
	return s.started(ctx, slot, run)
}

const due = `-- schedule.due
	select ` + columns + ` from schedule
	where next_slot_time <= now()
	order by next_slot_time limit 100
	for update skip locked`

// A slot that waits stands for the slots of its schedule that come meanwhile, so a
// schedule has at most one. Its age counts from the last slot that it stands for:
// see [pending].
const standIn = `-- schedule.standIn
	update schedule_due set create_time = now()
	where schedule_id = any($1) and operation_run_id is null and create_time > now() - interval '1 day'
	returning schedule_id`

const take = `-- schedule.take
	insert into schedule_due (schedule_id, slot_time)
	select s.id, s.slot from unnest($1::bigint[], $2::timestamptz[]) as s (id, slot)
	where s.id <> all ($3::bigint[])
	on conflict on constraint schedule_due_once do nothing`

const advance = `-- schedule.advance
	update schedule set next_slot_time = s.next, paused = s.next is null,
		last_slot_time = case when s.id = any ($4::bigint[]) then last_slot_time else s.slot end
	from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as s (id, slot, next)
	where schedule.id = s.id`

const forget = `-- schedule.forget
	delete from schedule_due where schedule_id = any($1) and create_time < now() - interval '30 days'`

// take takes the slots that are due and moves their schedules on.
func (s *Store[D]) take(ctx context.Context) error {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, due)
		if err != nil {
			return err
		}
		schedules, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Schedule[D]])
		if err != nil || len(schedules) == 0 {
			return err
		}
		now, err := databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		return moveOn(ctx, tx, schedules, now)
	})
	if err != nil {
		return fmt.Errorf("take slots: %w", err)
	}
	return nil
}

func moveOn[D any](ctx context.Context, tx pgx.Tx, due []Schedule[D], now time.Time) error {
	ids, slots, next := make([]int64, len(due)), make([]time.Time, len(due)), make([]*time.Time, len(due))
	for i, d := range due {
		ids[i], slots[i], next[i] = d.ID, *d.Next, d.after(now)
	}
	rows, err := tx.Query(ctx, standIn, ids)
	if err != nil {
		return err
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, take, ids, slots, waiting); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, advance, ids, slots, next, waiting); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, forget, ids)
	return err
}

// Every workspace's first slot comes before any workspace's second one, and a pass
// has at most 100 of each. A slot that could not be started for a day is given up:
// nobody expects its run any more.
const pending = `-- schedule.pending
	select id, workspace_id, tenant_id, details, slot_time from (
		select s.id, s.workspace_id, s.tenant_id, s.details, d.slot_time,
			row_number() over (partition by s.workspace_id order by d.slot_time, s.id) as turn
		from schedule_due as d join schedule as s on s.id = d.schedule_id
		where d.operation_run_id is null and d.create_time > now() - interval '1 day'
	) as waiting
	where turn <= 100
	order by turn, slot_time, id`

// pending returns the slots to start, in the order in which they are started.
func (s *Store[D]) pending(ctx context.Context) ([]Slot[D], error) {
	rows, err := s.db.Query(ctx, pending)
	if err != nil {
		return nil, fmt.Errorf("pending slots: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Slot[D], error) {
		var slot Slot[D]
		err := row.Scan(&slot.ID, &slot.WorkspaceID, &slot.TenantID, &slot.Details, &slot.Time)
		return slot, err
	})
}

// It locks the schedule before its slot, in the order of [Store.take].
const started = `-- schedule.started
	with locked as (
		select id from schedule where id = $1 for update),
	started as (
		update schedule_due set operation_run_id = $3
		from locked where schedule_id = locked.id and slot_time = $2 returning schedule_id, slot_time)
	update schedule set last_operation_run_id = $3
	from started where id = started.schedule_id and last_slot_time = started.slot_time`

// started remembers the run of a slot.
func (s *Store[D]) started(ctx context.Context, slot Slot[D], runID int64) error {
	if _, err := s.db.Exec(ctx, started, slot.ID, slot.Time, runID); err != nil {
		return fmt.Errorf("slot of schedule %d started: %w", slot.ID, err)
	}
	return nil
}

const giveUp = `-- schedule.giveUp
	delete from schedule_due where schedule_id = $1 and slot_time = $2 and operation_run_id is null`

// giveUp forgets a slot. It is not taken again: its schedule has moved on.
func (s *Store[D]) giveUp(ctx context.Context, slot Slot[D]) error {
	if _, err := s.db.Exec(ctx, giveUp, slot.ID, slot.Time); err != nil {
		return fmt.Errorf("give up a slot of schedule %d: %w", slot.ID, err)
	}
	return nil
}
