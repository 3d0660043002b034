package store

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Cursor is a place in a list, at a run, and the direction to read from there.
type Cursor struct {
	At        time.Time `json:"t"`
	ID        int64     `json:"i"`
	Back      bool      `json:"b,omitempty"` // read against the order of the list
	Inclusive bool      `json:"n,omitempty"` // read the run itself, too
}

// turned returns the same place in the other direction.
func (c Cursor) turned() *Cursor {
	c.Back, c.Inclusive = !c.Back, !c.Inclusive
	return &c
}

// List describes a page of a list of runs.
type List struct {
	WorkspaceID int64
	Filter      run.Filter
	Order       run.Order
	From        *Cursor // nil: the first page
	Size        int
	Full        bool // read context and failures, too
}

// Page is a page of runs in the order of the list. If few of many runs match, it may be
// short or even empty and still have a next page.
type Page struct {
	Runs           []*run.Run
	Next, Previous *Cursor // nil at the end and at the beginning
}

// listed is a run that was examined for a page.
type listed struct {
	*row
	at      time.Time // the time by which the list is ordered
	matches bool
	last    bool // as many as may be were examined
}

// ListRuns returns a page. Its cost does not grow with the number of runs: it reads one
// index in order, at most [examined] runs, and sorts nothing.
func (s *Store) ListRuns(ctx context.Context, l List) (Page, error) {
	if l.Filter.Contradicts(l.Order) {
		return Page{}, nil
	}
	var found []listed
	sql, args := l.statement()
	batch := &pgx.Batch{} // one round trip and one transaction, with which the settings end
	batch.Queue(walkIndexesSQL)
	batch.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, scanListed)
		return err
	})
	err := s.db.SendBatch(ctx, batch).Close()
	return l.page(found), err
}

func scanListed(r pgx.CollectableRow) (listed, error) {
	var c listed
	var err error
	c.row, err = scanRunAfter(r, &c.at, &c.matches, &c.last)
	return c, err
}

// page makes a page of the runs that the statement returned: those that match, up to one
// more than the size, and the last one it examined.
func (l List) page(found []listed) Page {
	var p Page
	var on *Cursor // where the next page in this direction begins
	more := false
	for _, c := range found {
		if more = len(p.Runs) == l.Size; more {
			break
		}
		if c.matches {
			p.Runs = append(p.Runs, &c.Run)
		}
		on, more = &Cursor{At: c.at, ID: c.ID, Back: l.back()}, c.last
	}
	if !more {
		on = nil
	}
	switch {
	case l.back():
		slices.Reverse(p.Runs)
		p.Next, p.Previous = l.From.turned(), on
	case l.From != nil:
		p.Next, p.Previous = on, l.From.turned()
	default:
		p.Next = on
	}
	return p
}

func (l List) back() bool { return l.From != nil && l.From.Back }

const existingRunsSQL = `-- store.existingRuns
	select id from operation_runs where id = any($1)`

// RemovedReferences returns which of retry_of and parent_run_id of r name runs that no
// longer exist.
func (s *Store) RemovedReferences(ctx context.Context, r *run.Run) ([]string, error) {
	named := map[string]int64{}
	if r.RetryOf != nil {
		named["retry_of"] = *r.RetryOf
	}
	if r.ParentRunID != nil {
		named["parent_run_id"] = *r.ParentRunID
	}
	if len(named) == 0 {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, existingRunsSQL, slices.Collect(maps.Values(named)))
	if err != nil {
		return nil, err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	maps.DeleteFunc(named, func(_ string, id int64) bool { return slices.Contains(there, id) })
	return slices.Sorted(maps.Keys(named)), err
}

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

const listEventsSQL = `-- store.listEvents
	select run_id, sequence, event_time, kind, actor, status, outcome, lease_epoch, attempt, detail
	from run_event where run_id = $1 and sequence > $2 order by sequence limit $3`

// Events returns at most limit events of run id after a sequence, oldest first.
func (s *Store) Events(ctx context.Context, id int64, after, limit int) ([]Event, error) {
	rows, err := s.db.Query(ctx, listEventsSQL, id, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
}
