// Package retention is the SQL that removes runs which their types do not keep any
// longer. It runs as the owner role: the application role cannot delete runs.
package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// Store removes runs of one database.
type Store struct {
	db    *pgxpool.Pool
	types run.Types
}

// New returns the retention of runs of types in db, a pool of the application role.
func New(db *pgxpool.Pool, types run.Types) *Store { return &Store{db: db, types: types} }

// Status is what retention did to runs of one type.
type Status struct {
	Type         string
	LastPassAt   time.Time
	LastPassTook *time.Duration // nil: the pass still runs, or died
	LastRemoved  int64
	Removed      int64
	LastError    string
}

const listStatusSQL = `-- retention.listStatus
	select type, last_pass_at, last_pass_took, last_removed, removed, last_error from retention_status order by type`

// Status returns what retention did so far, by type.
func (s *Store) Status(ctx context.Context) ([]Status, error) {
	rows, err := s.db.Query(ctx, listStatusSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Status])
}

// lockNumber is the advisory lock of the replica that removes runs. The number has
// no meaning.
const lockNumber = 0x7265_7461

const tryLockSQL = `-- retention.tryLock
	select pg_try_advisory_lock($1)`

// Remove removes the runs that their types do not keep any longer and returns how
// many it removed. It connects as the owner role of ownerURL. Each removal and its
// record in [Status] are one transaction, so that the record is right even if this
// process dies. Only one replica removes at a time; if another one does, Remove
// returns 0 and no error.
func (s *Store) Remove(ctx context.Context, ownerURL string) (int64, error) {
	conn, err := connectAsOwner(ctx, ownerURL)
	if err != nil {
		return 0, err
	}
	defer disconnect(ctx, conn)
	var locked bool
	if err := conn.QueryRow(ctx, tryLockSQL, lockNumber).Scan(&locked); err != nil || !locked {
		return 0, err
	}
	workspaces, err := listWorkspaces(ctx, conn)
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

// connectAsOwner opens a connection outside the pool. A removal may take longer than
// a statement of a call may. It gives up quickly on locks, so that nobody waits
// behind it.
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

// cleanupTimeout bounds what is still done after ctx has ended.
const cleanupTimeout = 2 * time.Second

const unlockSQL = `-- retention.unlock
	select pg_advisory_unlock_all()`

// disconnect releases the lock and closes conn. Closing alone is not enough: the
// server notices some time later, and only then releases the lock.
func disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, unlockSQL)
	_ = conn.Close(ctx)
}

// Steps from each workspace to the next in an index: there are few workspaces with
// many runs each. A workspace that is being taken over keeps its runs until the
// takeover has proven that none is missing.
const listWorkspacesSQL = `-- retention.listWorkspaces
	with recursive w as (
		(select workspace_id from operation_runs where status = 'completed' order by workspace_id limit 1)
		union all
		select (select r.workspace_id from operation_runs r where r.workspace_id > w.workspace_id and r.status = 'completed' order by r.workspace_id limit 1)
		from w where w.workspace_id is not null
	)
	select workspace_id from w where workspace_id is not null and not exists (select from workspace_hold h where h.workspace_id = w.workspace_id)`

// listWorkspaces returns the workspaces with completed runs.
func listWorkspaces(ctx context.Context, conn *pgx.Conn) ([]int64, error) {
	rows, err := conn.Query(ctx, listWorkspacesSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
