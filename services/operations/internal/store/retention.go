package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// RetentionStatus is what retention did to runs of one type.
type RetentionStatus struct {
	Type         string
	LastPassAt   time.Time
	LastPassTook *time.Duration // nil: it is not over, or was interrupted
	LastRemoved  int64
	Removed      int64
	LastError    string
}

const getRetention = `-- store.getRetention
	select type, last_pass_at, last_pass_took, last_removed, removed, last_error from retention_status order by type`

// Retention answers what retention did, by type.
func (s *Store) Retention(ctx context.Context) ([]RetentionStatus, error) {
	rows, err := s.db.Query(ctx, getRetention)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[RetentionStatus])
}

// retentionLock is held by the connection that removes runs; any number will do.
const retentionLock = 0x7265_7461

// removeBatch is how many runs are looked at in one transaction; fewer after one
// that waited too long for a lock on what belongs to a run.
const removeBatch = 500

const tryRetentionLock = `-- store.tryRetentionLock
	select pg_try_advisory_lock($1)`

// Retain removes the runs that their types keep no longer, over a connection of
// its own as the owner role, and answers how many. What it does is written beside
// each removal, so a pass that dies is known to have died, and how far it came.
// One replica works at a time; another's turn is no error.
func (s *Store) Retain(ctx context.Context, ownerURL string) (int64, error) {
	conn, err := connectAsOwner(ctx, ownerURL)
	if err != nil {
		return 0, err
	}
	defer leaveTurn(ctx, conn)
	var mine bool
	if err := conn.QueryRow(ctx, tryRetentionLock, retentionLock).Scan(&mine); err != nil || !mine {
		return 0, err
	}
	workspaces, err := workspacesWithEnded(ctx, conn)
	if err != nil {
		return 0, err
	}
	var removed int64
	var failed error
	for _, t := range s.types.List() {
		p := pass{conn: conn, typ: t}
		if err := p.do(ctx, workspaces); err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove runs of type %s: %w", t.Name, err))
		}
		removed += p.removed
	}
	return removed, failed
}

// connectAsOwner dials past the pool: a removal may take longer than any
// statement of a call, but makes nobody wait for a lock it waits for.
func connectAsOwner(ctx context.Context, ownerURL string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return nil, errors.New("owner database URL: cannot be read (it is not shown, it may hold a password)")
	}
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.RuntimeParams["lock_timeout"] = "200ms"
	cfg.RuntimeParams["application_name"] = "operations-retention"
	return pgx.ConnectConfig(ctx, cfg)
}

// lastWords is how long is taken to end in good order after ctx has ended.
const lastWords = 2 * time.Second

const unlockRetention = `-- store.unlockRetention
	select pg_advisory_unlock_all()`

// leaveTurn gives the turn back and then closes conn: PostgreSQL ends a
// connection, and the locks it holds, some time after it was closed here.
func leaveTurn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	_, _ = conn.Exec(ctx, unlockRetention)
	_ = conn.Close(ctx)
}

// From each workspace to the next by an index; there are few, of many runs each.
// One whose history is being taken over keeps it until that is proven complete.
const listWorkspaces = `-- store.listWorkspaces
	with recursive w as (
		(select workspace_id from operation_runs where status = 'completed' order by workspace_id limit 1)
		union all
		select (select r.workspace_id from operation_runs r where r.workspace_id > w.workspace_id and r.status = 'completed' order by r.workspace_id limit 1)
		from w where w.workspace_id is not null
	)
	select workspace_id from w where workspace_id is not null and not exists (select from workspace_hold h where h.workspace_id = w.workspace_id)`

func workspacesWithEnded(ctx context.Context, q querier) ([]int64, error) {
	rows, err := q.Query(ctx, listWorkspaces)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// pass is one pass over the runs of one type.
type pass struct {
	conn    *pgx.Conn
	typ     run.Type
	before  time.Time // what completed since is kept
	removed int64
}

const beginPass = `-- store.beginPass
	insert into retention_status (type, last_pass_at, last_error) values ($1, clock_timestamp(), $3)
	on conflict (type) do update set last_pass_at = excluded.last_pass_at, last_pass_took = null, last_removed = 0, last_error = excluded.last_error
	returning last_pass_at - make_interval(days => $2)`

const endPass = `-- store.endPass
	update retention_status set last_pass_took = clock_timestamp() - last_pass_at, last_error = $2 where type = $1`

// unfinished is what is said of a pass until it is over, and of one that died.
const unfinished = "the pass is not over, or was interrupted"

func (p *pass) do(ctx context.Context, workspaces []int64) error {
	if err := p.conn.QueryRow(ctx, beginPass, p.typ.Name, p.typ.RetentionDays, unfinished).Scan(&p.before); err != nil {
		return err
	}
	var failed error
	for _, workspaceID := range workspaces {
		if failed = p.sweep(ctx, workspaceID); failed != nil {
			break
		}
	}
	said := ""
	if failed != nil {
		said = whatHappened(failed)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	_, err := p.conn.Exec(ctx, endPass, p.typ.Name, said)
	return cmp.Or(failed, err)
}

// whatHappened is err as an operator is told: the database's words, no addresses.
func whatHappened(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Message
	}
	return "the connection was lost, or the service was stopped"
}

// place is a run's place in the order of removal: oldest first.
type place struct {
	CreatedAt time.Time
	ID        int64
}

// The oldest of the newest completed runs that are kept in any case.
const keptFrom = `-- store.keptFrom
	select created_at, id from operation_runs
	where workspace_id = $1 and type = $2 and status = 'completed'
	order by created_at desc, id desc offset $3 limit 1`

// sweep removes what is due of one workspace.
func (p *pass) sweep(ctx context.Context, workspaceID int64) error {
	until := place{CreatedAt: p.before}
	if p.typ.KeepAtLeast > 0 {
		rows, err := p.conn.Query(ctx, keptFrom, workspaceID, p.typ.Name, p.typ.KeepAtLeast-1)
		if err != nil {
			return err
		}
		kept, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[place])
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil // there are no more than are kept
		case err != nil:
			return err
		case kept.CreatedAt.Before(until.CreatedAt):
			until = kept
		}
	}
	var after place
	for size := removeBatch; ; {
		seen, err := p.batch(ctx, workspaceID, &after, until, size)
		switch {
		case lockedOut(err) && size == 1 && len(seen) == 1:
			after = seen[0].place // next time
		case lockedOut(err) && size > 1:
			size = max(size/8, 1)
		case err != nil:
			return err
		case len(seen) < size:
			return nil
		default:
			size = min(size*2, removeBatch)
		}
	}
}

func lockedOut(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "55P03" || e.Code == "40P01") // lock not available, deadlock
}

// oldRun is a run that may be due.
type oldRun struct {
	place
	due bool
}

// Due is what completed long ago and is in the statistics, and not the newest of
// its identity where that is kept. The beginning of a hash finds it in the index.
const oldRuns = `-- store.oldRuns
	select r.created_at, r.id, r.completed_at < $7
		and not exists (select from run_event e, run_stat_fold f
			where e.run_id = r.id and e.kind = 'completed' and not pg_visible_in_snapshot(e.txid, f.seen))
		and (not $8 or exists (select from operation_runs n
			where substr(n.run_identity_hash, 1, 8) = substr(r.run_identity_hash, 1, 8) and n.status = 'completed'
				and (n.completed_at, n.id) > (r.completed_at, r.id)
				and n.run_identity_hash = r.run_identity_hash and n.workspace_id = r.workspace_id and n.type = r.type))
	from operation_runs r
	where r.workspace_id = $1 and r.type = $2 and r.status = 'completed' and (r.created_at, r.id) > ($3, $4) and (r.created_at, r.id) < ($5, $6)
	order by r.created_at, r.id limit $9`

// What belongs to the runs goes with them, by a trigger. A run that somebody has
// locked is left for the next pass.
const removeRuns = `-- store.removeRuns
	with d as (
		delete from operation_runs where id in (
			select id from operation_runs where id = any($1) and status = 'completed' for update skip locked)
		returning 1
	)
	update retention_status set last_removed = last_removed + n, removed = removed + n
	from (select count(*) as n from d) d where type = $2
	returning n`

// batch looks at the next size runs from after, removes those that are due, and
// moves after beyond them all; it answers what it saw, also when it failed.
func (p *pass) batch(ctx context.Context, workspaceID int64, after *place, until place, size int) ([]oldRun, error) {
	var seen []oldRun
	var removed int64
	err := pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, oldRuns, workspaceID, p.typ.Name, after.CreatedAt, after.ID, until.CreatedAt, until.ID,
			p.before, p.typ.KeepNewest, size)
		if err != nil {
			return err
		}
		seen, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (o oldRun, err error) {
			return o, r.Scan(&o.CreatedAt, &o.ID, &o.due)
		})
		if err != nil {
			return err
		}
		var due []int64
		for _, o := range seen {
			if o.due {
				due = append(due, o.ID)
			}
		}
		if due == nil {
			return nil
		}
		return tx.QueryRow(ctx, removeRuns, due, p.typ.Name).Scan(&removed)
	})
	if err == nil && len(seen) > 0 {
		*after = seen[len(seen)-1].place
		p.removed += removed
	}
	return seen, err
}
