package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/snapshot"
)

// OnCommit sets what the store calls after commits: committed when there may be new
// events, reported with the ids of runs whose counters changed. Both are called in the
// goroutine of every call and must not block. Call OnCommit before the first call.
func (s *Store) OnCommit(committed func(), reported func(ids []int64)) {
	s.onCommit, s.onProgress = committed, reported
}

// Change is what happened to a run.
type Change struct {
	Run   *run.Run          // without context and failures, at least as new as the event
	Event *Event            // nil: only the counters changed
	Tx    uint64            // the transaction that wrote the event
	At    snapshot.Position // after this change
}

// ErrTooFar is returned if more events follow a position than are worth reading.
var ErrTooFar = errors.New("too much has happened since")

// farthest is how many events of all workspaces are read at most to catch up.
const farthest = 100_000

// since selects the events that a snapshot (xmax $1, running $2) does not see.
const since = `
	(select run_id, sequence, id, txid from run_event where txid >= $1::text::xid8 order by txid limit $3)
	union all
	(select run_id, sequence, id, txid from run_event where txid = any($2::text[]::xid8[]) limit $3)`

// newest selects the last transaction that wrote an event; see [snapshot.Snapshot.UpTo].
const newest = `coalesce((select txid from run_event where txid is not null order by txid desc limit 1)::text::bigint, 0)`

const snapshotNowSQL = `-- store.snapshotNow
	select pg_current_snapshot()::text, ` + newest + `, count(*) from (` + since + `) e`

const snapshotOnlySQL = `-- store.snapshotOnly
	select pg_current_snapshot()::text, ` + newest

// Looks the runs up one by one, in order, until there are enough. So it reads no more
// than it returns, however many events the planner expects.
const eventsBetweenSQL = `-- store.eventsBetween
	select c.id, c.txid::text::bigint, e.run_id, e.sequence, e.event_time, e.kind, e.actor, e.status, e.outcome, e.lease_epoch, e.attempt, e.detail,` +
	basicColumns + `
	from (select * from (` + since + `) s
			where s.id > $4 and pg_visible_in_snapshot(s.txid, $5::text::pg_snapshot) order by s.id) c
		cross join lateral (select * from operation_runs where id = c.run_id and workspace_id = any($6) limit 1) r
		cross join lateral (select * from run_event where run_id = c.run_id and sequence = c.sequence limit 1) e
		left join lateral (select * from run_lease where run_id = c.run_id limit 1) l on true
	order by c.id limit $7`

// Now returns the position after everything that is committed.
func (s *Store) Now(ctx context.Context) (snapshot.Position, error) {
	var text string
	var last int64
	if err := s.db.QueryRow(ctx, snapshotOnlySQL).Scan(&text, &last); err != nil {
		return snapshot.Position{}, err
	}
	now, err := snapshot.Parse(text)
	return snapshot.Position{After: now.UpTo(last)}, err
}

// Changes returns at most limit events of workspaces after a position, in order, and the
// position after them. There may be more if that position has More. It returns
// [ErrTooFar] if too many events follow the position.
func (s *Store) Changes(ctx context.Context, from snapshot.Position, workspaces []int64, limit int) ([]Change, snapshot.Position, error) {
	xmax, running := from.After.Xmax(), from.After.Running()
	if from.Until.IsZero() {
		until, many, err := s.until(ctx, xmax, running)
		switch {
		case err != nil:
			return nil, from, err
		case many >= farthest:
			return nil, from, ErrTooFar
		case many == 0:
			return nil, snapshot.Position{After: until}, nil
		}
		from.Until = until
	}
	rows, err := s.db.Query(ctx, eventsBetweenSQL, xmax, running, farthest, from.ID, from.Until.String(), workspaces, limit)
	if err != nil {
		return nil, from, err
	}
	changes, err := pgx.CollectRows(rows, func(c pgx.CollectableRow) (Change, error) { return scanChange(c, from) })
	switch {
	case err != nil:
		return nil, from, err
	case len(changes) == limit:
		return changes, changes[limit-1].At, nil
	}
	return changes, snapshot.Position{After: from.Until}, nil
}

// until returns a snapshot of now, and how many events it sees that the snapshot of xmax
// and running does not.
func (s *Store) until(ctx context.Context, xmax string, running []string) (snapshot.Snapshot, int, error) {
	var text string
	var last int64
	var many int
	if err := s.db.QueryRow(ctx, snapshotNowSQL, xmax, running, farthest).Scan(&text, &last, &many); err != nil {
		return snapshot.Snapshot{}, 0, err
	}
	now, err := snapshot.Parse(text)
	return now.UpTo(last), many, err
}

func scanChange(c pgx.CollectableRow, from snapshot.Position) (Change, error) {
	var tx int64
	at := from
	e := &Event{}
	r, err := scanRunAfter(c, &at.ID, &tx, &e.RunID, &e.Sequence, &e.At, &e.Kind, &e.Actor, &e.Status, &e.Outcome, &e.Epoch, &e.Attempt, &e.Detail)
	if err != nil {
		return Change{}, err
	}
	return Change{Run: &r.Run, Event: e, Tx: uint64(tx), At: at}, nil //nolint:gosec // a transaction id has 63 bits at most
}

// The active runs of a workspace are few and have an index. "materialized" makes the
// planner use it; because of the limit, it might walk all runs in the order of ids.
const activeRunsSQL = `-- store.activeRuns
	with a as materialized (
		select id from operation_runs
		where workspace_id = $1 and status <> 'completed' and origin = 'live'
			and ($3::bigint is null or tenant_id = $3) and (cardinality($4::text[]) = 0 or type = any($4))
	)
	select` + basicColumns + `
	from (select id from a where id > $2 order by id limit $5) a
		cross join lateral (select * from operation_runs where id = a.id limit 1) r
		left join lateral (select * from run_lease where run_id = a.id limit 1) l on true
	order by a.id`

// Active returns at most limit active runs of a workspace with ids above after, in the
// order of ids, without context and failures. A tenant and types narrow it, if given.
func (s *Store) Active(ctx context.Context, workspaceID int64, tenantID *int64, types []string, after int64, limit int) ([]*run.Run, error) {
	return s.basic(ctx, activeRunsSQL, workspaceID, after, tenantID, list(types), limit)
}

const runsByIDSQL = `-- store.runsByID
	select` + basicColumns + `
	from operation_runs r left join run_lease l on l.run_id = r.id
	where r.id = any($1) and r.workspace_id = any($2) order by r.id`

// Among returns the runs of ids that belong to workspaces, in the order of ids, without
// context and failures.
func (s *Store) Among(ctx context.Context, ids, workspaces []int64) ([]*run.Run, error) {
	return s.basic(ctx, runsByIDSQL, ids, workspaces)
}

func (s *Store) basic(ctx context.Context, sql string, args ...any) ([]*run.Run, error) {
	rows, err := s.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(c pgx.CollectableRow) (*run.Run, error) {
		r, err := scanRun(c)
		if err != nil {
			return nil, err
		}
		return &r.Run, nil
	})
}

const leasedCountsSQL = `-- store.leasedCounts
	select l.run_id, md5(l.summary_counts::text)
	from run_lease l cross join lateral (select from operation_runs where id = l.run_id and workspace_id = any($1) limit 1) r
	where l.summary_counts <> '{}'`

// Reported returns a digest of the counters of each leased run of workspaces that has
// reported any. A caller that compares it with an earlier one sees which runs reported
// in between.
func (s *Store) Reported(ctx context.Context, workspaces []int64) (map[int64]string, error) {
	rows, err := s.db.Query(ctx, leasedCountsSQL, workspaces)
	if err != nil {
		return nil, err
	}
	reported := map[int64]string{}
	var id int64
	var digest string
	_, err = pgx.ForEachRow(rows, []any{&id, &digest}, func() error {
		reported[id] = digest
		return nil
	})
	return reported, err
}

// channel is the channel on which replicas tell each other that something was committed.
// It is only a hint to look at the tables.
const channel = "operations_changed"

// PostgreSQL commits transactions that notify one after the other. So this is a
// transaction of its own that no call waits for, and it is not flushed to disk.
const notifySQL = `-- store.notify
	select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`

// Notify sends hint to the other replicas.
func (s *Store) Notify(ctx context.Context, hint string) error {
	_, err := s.db.Exec(ctx, notifySQL, channel, hint)
	return err
}

// listener is the beginning of the names of connections that listen; the name of their
// replica follows.
const listener = "operations-listen "

const othersListenSQL = `-- store.othersListen
	select exists (select from pg_stat_activity
		where datname = current_database() and starts_with(application_name, $1) and application_name <> $2)`

// OthersListen reports whether another replica than name listens. One that begins to
// listen later reads everything that was committed before.
func (s *Store) OthersListen(ctx context.Context, name string) (bool, error) {
	var others bool
	err := s.db.QueryRow(ctx, othersListenSQL, listener, listener+name).Scan(&others)
	return others, err
}

// Listen calls heard with every hint of another replica until ctx ends or the connection
// fails, and returns why. Name is the name of this replica. If the connection is silent
// for the given time, Listen pings it: a dead connection is silent, too.
func (s *Store) Listen(ctx context.Context, name string, silence time.Duration, heard func(hint string)) error {
	cfg := s.db.Config().ConnConfig.Copy()
	cfg.RuntimeParams["application_name"] = listener + name
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer hangUp(ctx, conn)
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	heard("") // for what was sent before we listened
	for {
		hint, err := next(ctx, conn, silence)
		switch {
		case err == nil:
			heard(hint)
		case ctx.Err() != nil:
			return ctx.Err()
		case pgconn.Timeout(err) && !conn.IsClosed():
			if err := alive(ctx, conn, silence); err != nil {
				return fmt.Errorf("listen: %w", err)
			}
		default:
			return fmt.Errorf("listen: %w", err)
		}
	}
}

// next returns the next hint.
func next(ctx context.Context, conn *pgx.Conn, silence time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		return "", err
	}
	return n.Payload, nil
}

// alive returns an error if conn does not reply in time.
func alive(ctx context.Context, conn *pgx.Conn, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return conn.Ping(ctx)
}

// hangUp closes conn, and gives up soon if the server does not reply.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
