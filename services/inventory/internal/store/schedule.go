package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/schedule"
)

const scheduleColumns = `id, workspace_id, tenant_id, display_name, types, cron, time_zone, paused,
	next_slot_time, last_slot_time, last_operation_run_id, create_time, update_time`

func scanSchedule(row pgx.CollectableRow) (schedule.Schedule, error) {
	var s schedule.Schedule
	err := row.Scan(&s.ID, &s.WorkspaceID, &s.TenantID, &s.DisplayName, &s.Types, &s.Cron, &s.Zone, &s.Paused,
		&s.Next, &s.LastSlot, &s.LastRun, &s.Created, &s.Updated)
	return s, err
}

func oneSchedule(ctx context.Context, tx pgx.Tx, query string, args ...any) (schedule.Schedule, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return schedule.Schedule{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanSchedule)
}

// Request is what made a schedule, so that saying it again makes no second one.
type Request struct {
	Caller string
	ID     string // "" cannot be said again
	Digest []byte // of all the caller said
}

const clock = `-- store.clock
	select now()`

func databaseTime(ctx context.Context, tx pgx.Tx) (time.Time, error) {
	var now time.Time
	err := tx.QueryRow(ctx, clock).Scan(&now)
	return now, err
}

const createSchedule = `-- store.createSchedule
	insert into sync_schedule (workspace_id, tenant_id, display_name, types, cron, time_zone, paused, next_slot_time,
		caller, request_id, request_digest)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, ''), $11)
	on conflict on constraint sync_schedule_request do nothing
	returning ` + scheduleColumns

// CreateSchedule stores a new schedule, or answers the one the same request made.
func (s *Store) CreateSchedule(ctx context.Context, n schedule.Schedule, by Request) (schedule.Schedule, error) {
	var made schedule.Schedule
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		now, err := databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		if n, err = n.Timed(now); err != nil {
			return err
		}
		made, err = oneSchedule(ctx, tx, createSchedule, n.WorkspaceID, n.TenantID, n.DisplayName, n.Types, n.Cron, n.Zone,
			n.Paused, n.Next, by.Caller, by.ID, by.Digest)
		if errors.Is(err, pgx.ErrNoRows) {
			made, err = sameRequest(ctx, tx, n.WorkspaceID, by)
		}
		return err
	})
	if err != nil {
		return made, fmt.Errorf("create schedule: %w", err)
	}
	return made, nil
}

const requestedSchedule = `-- store.requestedSchedule
	select ` + scheduleColumns + ` from sync_schedule
	where workspace_id = $1 and caller = $2 and request_id = $3 and request_digest = $4`

func sameRequest(ctx context.Context, tx pgx.Tx, workspaceID int64, by Request) (schedule.Schedule, error) {
	made, err := oneSchedule(ctx, tx, requestedSchedule, workspaceID, by.Caller, by.ID, by.Digest)
	if errors.Is(err, pgx.ErrNoRows) {
		return made, errs.Invalid("request_id", "was used for another request").WithReason("REQUEST_ID_REUSED")
	}
	return made, err
}

const lockSchedule = `-- store.lockSchedule
	select ` + scheduleColumns + ` from sync_schedule where workspace_id = $1 and id = $2 for update`

const updateSchedule = `-- store.updateSchedule
	update sync_schedule set display_name = $2, cron = $3, time_zone = $4, paused = $5, next_slot_time = $6, update_time = now()
	where id = $1 returning ` + scheduleColumns

// UpdateSchedule changes a schedule of a workspace.
func (s *Store) UpdateSchedule(ctx context.Context, workspaceID, id int64, change schedule.Change) (schedule.Schedule, error) {
	var now schedule.Schedule
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		was, err := oneSchedule(ctx, tx, lockSchedule, workspaceID, id)
		if err != nil {
			return missing(err, "sync schedule")
		}
		at, err := databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		n, err := was.Changed(change, at)
		if err != nil {
			return err
		}
		now, err = oneSchedule(ctx, tx, updateSchedule, id, n.DisplayName, n.Cron, n.Zone, n.Paused, n.Next)
		return err
	})
	if err != nil {
		return now, fmt.Errorf("update schedule %d: %w", id, err)
	}
	return now, nil
}

const deleteSchedule = `-- store.deleteSchedule
	delete from sync_schedule where workspace_id = $1 and id = $2`

// DeleteSchedule ends a schedule of a workspace.
func (s *Store) DeleteSchedule(ctx context.Context, workspaceID, id int64) error {
	tag, err := s.db.Exec(ctx, deleteSchedule, workspaceID, id)
	if err != nil {
		return fmt.Errorf("delete schedule %d: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return errs.NotFound("sync schedule")
	}
	return nil
}

const listSchedules = `-- store.listSchedules
	select ` + scheduleColumns + ` from sync_schedule
	where workspace_id = $1 and tenant_id = $2 and id > $3
	order by id limit $4`

// Schedules answers at most limit schedules of a tenant behind the id after.
func (s *Store) Schedules(ctx context.Context, workspaceID, tenantID, after int64, limit int) ([]schedule.Schedule, error) {
	rows, err := s.db.Query(ctx, listSchedules, workspaceID, tenantID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	return pgx.CollectRows(rows, scanSchedule)
}
