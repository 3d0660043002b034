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

// Cursor is a place between two runs of a list, and which way to read from it.
type Cursor struct {
	At        time.Time `json:"t"`
	ID        int64     `json:"i"`
	Back      bool      `json:"b,omitempty"` // against the order of the list
	Inclusive bool      `json:"n,omitempty"` // the run named is read, too
}

// turned is the same place, read the other way.
func (c Cursor) turned() *Cursor {
	c.Back, c.Inclusive = !c.Back, !c.Inclusive
	return &c
}

// List says which page of which list.
type List struct {
	WorkspaceID int64
	Filter      run.Filter
	Order       run.Order
	From        *Cursor // nil: the first page
	Size        int
	Full        bool // with context and failures
}

// Page is a page of runs in the order asked. Where few of many runs match it may
// be short, or empty, and still have a next one.
type Page struct {
	Runs           []*run.Run
	Next, Previous *Cursor // nil at the end and at the beginning
}

// listed is a run that was examined for a page.
type listed struct {
	*row
	at      time.Time // what the list is ordered by
	matches bool
	last    bool // of those that may be examined
}

// ListRuns answers a page. What that costs does not grow with the number of
// runs: it reads one index in order, at most [examined] runs, and sorts nothing.
func (s *Store) ListRuns(ctx context.Context, l List) (Page, error) {
	if l.Filter.Contradicts(l.Order) {
		return Page{}, nil
	}
	var found []listed
	sql, args := l.statement()
	batch := &pgx.Batch{} // one trip and one transaction, to whose end the settings last
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

// page makes a page of what was found: the runs that match, up to one more than
// asked for, and the last one examined.
func (l List) page(found []listed) Page {
	var p Page
	var on *Cursor // where the page after this one begins, in the direction read
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

// RemovedReferences answers which of retry_of and parent_run_id name runs that
// are no longer there.
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

// Events answers at most limit events of run id after sequence, oldest first.
func (s *Store) Events(ctx context.Context, id int64, after, limit int) ([]Event, error) {
	rows, err := s.db.Query(ctx, listEventsSQL, id, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
}
