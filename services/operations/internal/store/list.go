package store

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Cursor is the place of a run in the order of lists: newest first.
type Cursor struct {
	CreatedAt time.Time `json:"t"`
	ID        int64     `json:"i"`
}

// List answers at most limit runs of a workspace that match f, newest first,
// from after the cursor (nil: from the newest).
func (s *Store) List(ctx context.Context, workspaceID int64, f run.Filter, after *Cursor, limit int) ([]*run.Run, error) {
	q := query{args: []any{workspaceID}}
	q.add("r.workspace_id = $1")
	filterRuns(&q, f)
	if after != nil {
		q.add("(r.created_at, r.id) < (" + q.arg(after.CreatedAt) + ", " + q.arg(after.ID) + ")")
	}
	sql := "-- store.listRuns\n select" + runColumns + `
		from operation_runs r left join run_lease l on l.run_id = r.id
		where ` + q.where() + " order by r.created_at desc, r.id desc limit " + q.arg(limit)
	rows, err := s.db.Query(ctx, sql, q.args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(c pgx.CollectableRow) (*run.Run, error) {
		r, err := scan(c)
		if err != nil {
			return nil, err
		}
		return &r.Run, nil
	})
}

// query collects fixed conditions and their parameters.
type query struct {
	conditions []string
	args       []any
}

func (q *query) add(condition string) { q.conditions = append(q.conditions, condition) }

func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

func (q *query) where() string { return strings.Join(q.conditions, " and ") }

// Event is one row of a run's history.
type Event struct {
	RunID    int64
	Sequence int
	At       time.Time
	Kind     string
	Actor    string
	Status   run.Status
	Outcome  run.Outcome
	Epoch    int64
	Attempt  int
	Detail   json.RawMessage
}

const listEvents = `-- store.listEvents
	select run_id, sequence, event_time, kind, actor, status, outcome, lease_epoch, attempt, detail
	from run_event where run_id = $1 and sequence > $2 order by sequence limit $3`

// Events answers at most limit events of run id after sequence, oldest first.
func (s *Store) Events(ctx context.Context, id int64, after, limit int) ([]Event, error) {
	rows, err := s.db.Query(ctx, listEvents, id, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
}

// Dispatchable is a queued run that should have a slip.
type Dispatchable struct {
	ID       int64     `json:"i"`
	Epoch    int64     `json:"-"`
	Type     string    `json:"-"`
	QueuedAt time.Time `json:"t"`
}

const listDispatchable = `-- store.listDispatchable
	select id, lease_epoch, type, queued_at from operation_runs
	where status = 'queued' and origin = 'live' and type = any($1)
		and ($2::timestamptz is null or (queued_at, id) > ($2, $3))
	order by queued_at, id limit $4`

// Dispatchable answers at most limit queued runs of types across workspaces, in
// the order they were queued, from after the cursor (nil: from the oldest).
func (s *Store) Dispatchable(ctx context.Context, types []string, after *Dispatchable, limit int) ([]Dispatchable, error) {
	var at *time.Time
	var id int64
	if after != nil {
		at, id = &after.QueuedAt, after.ID
	}
	rows, err := s.db.Query(ctx, listDispatchable, types, at, id, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Dispatchable])
}
