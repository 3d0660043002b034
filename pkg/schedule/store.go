package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/page/once"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
)

// Store keeps the schedules of a service. It is safe for concurrent use.
type Store[D any] struct {
	db   *pgxpool.Pool
	noun string
}

// New returns the schedules in a database with the tables of [Migrate], as the
// app role. The noun is what errors call one, for example "sync schedule".
func New[D any](db *pgxpool.Pool, noun string) *Store[D] { return &Store[D]{db: db, noun: noun} }

const columns = `id, workspace_id, tenant_id, display_name, cron, time_zone, paused,
	next_slot_time, last_slot_time, last_operation_run_id, create_time, update_time, details`

func one[D any](ctx context.Context, tx pgx.Tx, query string, args ...any) (Schedule[D], error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return Schedule[D]{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Schedule[D]])
}

// missing turns "no rows" into NotFound.
func (s *Store[D]) missing(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.NotFound(s.noun)
	}
	return err
}

const clock = `-- schedule.clock
	select now()`

func databaseTime(ctx context.Context, tx pgx.Tx) (time.Time, error) {
	var now time.Time
	err := tx.QueryRow(ctx, clock).Scan(&now)
	return now, err
}

const create = `-- schedule.create
	insert into schedule (workspace_id, tenant_id, display_name, cron, time_zone, paused, next_slot_time, details)
	values ($1, $2, $3, $4, $5, $6, $7, $8)
	returning id`

const get = `-- schedule.get
	select ` + columns + ` from schedule where workspace_id = $1 and id = $2`

// Create stores a new schedule and returns it. If r repeats an earlier request, Create
// stores nothing and returns the schedule that the earlier request created.
func (s *Store[D]) Create(ctx context.Context, n Schedule[D], r once.Request) (Schedule[D], error) {
	var made Schedule[D]
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		id, err := once.Do(ctx, tx, n.WorkspaceID, r, func() (int64, error) { return insert(ctx, tx, n) })
		if err != nil {
			return err
		}
		made, err = one[D](ctx, tx, get, n.WorkspaceID, id)
		return s.missing(err)
	})
	if err != nil {
		return made, fmt.Errorf("create %s: %w", s.noun, err)
	}
	return made, nil
}

func insert[D any](ctx context.Context, tx pgx.Tx, n Schedule[D]) (id int64, err error) {
	now, err := databaseTime(ctx, tx)
	if err != nil {
		return 0, err
	}
	if n, err = n.timed(now); err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, create, n.WorkspaceID, n.TenantID, n.DisplayName, n.Cron, n.Zone, n.Paused, n.Next, n.Details).Scan(&id)
	return id, err
}

const lock = get + ` for update`

const update = `-- schedule.update
	update schedule set display_name = $2, cron = $3, time_zone = $4, paused = $5, next_slot_time = $6, update_time = now()
	where id = $1 returning ` + columns

// Update changes a schedule of a workspace.
func (s *Store[D]) Update(ctx context.Context, workspaceID, id int64, change Change) (Schedule[D], error) {
	var now Schedule[D]
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		was, err := one[D](ctx, tx, lock, workspaceID, id)
		if err != nil {
			return s.missing(err)
		}
		at, err := databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		n, err := was.changed(change, at)
		if err != nil {
			return err
		}
		now, err = one[D](ctx, tx, update, id, n.DisplayName, n.Cron, n.Zone, n.Paused, n.Next)
		return err
	})
	if err != nil {
		return now, fmt.Errorf("update %s %d: %w", s.noun, id, err)
	}
	return now, nil
}

const remove = `-- schedule.remove
	delete from schedule where workspace_id = $1 and id = $2`

// Delete ends a schedule of a workspace; runs that it has started go on.
func (s *Store[D]) Delete(ctx context.Context, workspaceID, id int64) error {
	tag, err := s.db.Exec(ctx, remove, workspaceID, id)
	if err != nil {
		return fmt.Errorf("delete %s %d: %w", s.noun, id, err)
	}
	if tag.RowsAffected() == 0 {
		return errs.NotFound(s.noun)
	}
	return nil
}

const list = `-- schedule.list
	select ` + columns + ` from schedule
	where workspace_id = $1 and tenant_id = $2 and id > $3
	order by id limit $4`

// List returns a page of the schedules of a tenant, ordered by id.
func (s *Store[D]) List(ctx context.Context, workspaceID, tenantID int64, p page.Page[int64]) ([]Schedule[D], error) {
	rows, err := s.db.Query(ctx, list, workspaceID, tenantID, p.After, p.Limit)
	if err != nil {
		return nil, fmt.Errorf("list of %ss: %w", s.noun, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Schedule[D]])
}
