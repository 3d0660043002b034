package retention

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// pass removes runs of one type.
type pass struct {
	conn    *pgx.Conn
	typ     run.Type
	before  time.Time // runs that completed later are kept
	removed int64
}

const beginPassSQL = `-- retention.beginPass
	insert into retention_status (type, last_pass_at, last_error) values ($1, clock_timestamp(), $3)
	on conflict (type) do update set last_pass_at = excluded.last_pass_at, last_pass_took = null, last_removed = 0, last_error = excluded.last_error
	returning last_pass_at - make_interval(days => $2)`

const endPassSQL = `-- retention.endPass
	update retention_status set last_pass_took = clock_timestamp() - last_pass_at, last_error = $2 where type = $1`

// unfinished is the error recorded for a pass until it ends. It stays if the pass dies.
const unfinished = "the pass is not over, or was interrupted"

func (p *pass) do(ctx context.Context, workspaces []int64) error {
	if err := p.conn.QueryRow(ctx, beginPassSQL, p.typ.Name, p.typ.RetentionDays, unfinished).Scan(&p.before); err != nil {
		return err
	}
	var failed error
	for _, workspaceID := range workspaces {
		if failed = p.removeFrom(ctx, workspaceID); failed != nil {
			break
		}
	}
	message := ""
	if failed != nil {
		message = errorMessage(failed)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_, err := p.conn.Exec(ctx, endPassSQL, p.typ.Name, message)
	return cmp.Or(failed, err)
}

// errorMessage returns what the operator may read about err: the database's words,
// but no addresses.
func errorMessage(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Message
	}
	return "the connection was lost, or the service was stopped"
}

// batchSize is how many runs one transaction examines. After a lock that was not
// free it is smaller for a while.
const batchSize = 500

// cursor names a run in the order of removal, which is by age.
type cursor struct {
	CreatedAt time.Time
	ID        int64
}

// Returns the oldest of the newest completed runs: those are kept whatever their age.
const keptFromSQL = `-- retention.keptFrom
	select created_at, id from operation_runs
	where workspace_id = $1 and type = $2 and status = 'completed'
	order by created_at desc, id desc offset $3 limit 1`

// removeFrom removes the runs of one workspace that are due.
func (p *pass) removeFrom(ctx context.Context, workspaceID int64) error {
	until, any, err := p.end(ctx, workspaceID)
	if err != nil || !any {
		return err
	}
	var after cursor
	for size := batchSize; ; {
		examined, err := p.batch(ctx, workspaceID, &after, until, size)
		locked := sqlstate.Is(err, sqlstate.LockNotAvailable, sqlstate.DeadlockDetected)
		switch {
		case locked && size == 1 && len(examined) == 1:
			after = examined[0].cursor // the next pass removes it
		case locked && size > 1:
			size = max(size/8, 1)
		case err != nil:
			return err
		case len(examined) < size:
			return nil
		default:
			size = min(size*2, batchSize)
		}
	}
}

// end returns where the runs of a workspace that may be removed end. It reports
// false if there are none.
func (p *pass) end(ctx context.Context, workspaceID int64) (cursor, bool, error) {
	until := cursor{CreatedAt: p.before}
	if p.typ.KeepAtLeast == 0 {
		return until, true, nil
	}
	rows, err := p.conn.Query(ctx, keptFromSQL, workspaceID, p.typ.Name, p.typ.KeepAtLeast-1)
	if err != nil {
		return until, false, err
	}
	kept, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[cursor])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return until, false, nil // all are kept
	case err != nil:
		return until, false, err
	case kept.CreatedAt.Before(until.CreatedAt):
		return kept, true, nil
	}
	return until, true, nil
}

// oldRun is a run that may be due.
type oldRun struct {
	cursor
	due bool
}

// A run is due if it completed before $7, is in the statistics, and, if $8 says that
// the newest run of each identity is kept, is not that one. The index contains the
// beginning of the hash, therefore substr.
const listOldRunsSQL = `-- retention.listOldRuns
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

// A trigger removes what belongs to the runs. A locked run stays for the next pass.
const removeRunsSQL = `-- retention.removeRuns
	with d as (
		delete from operation_runs where id in (
			select id from operation_runs where id = any($1) and status = 'completed' for update skip locked)
		returning 1
	)
	update retention_status set last_removed = last_removed + n, removed = removed + n
	from (select count(*) as n from d) d where type = $2
	returning n`

// batch examines the next size runs after a cursor, removes those that are due, and
// moves the cursor to the last one. It returns the runs it examined even if it fails;
// the cursor then stays.
func (p *pass) batch(ctx context.Context, workspaceID int64, after *cursor, until cursor, size int) ([]oldRun, error) {
	var examined []oldRun
	var removed int64
	err := pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, listOldRunsSQL, workspaceID, p.typ.Name, after.CreatedAt, after.ID, until.CreatedAt, until.ID,
			p.before, p.typ.KeepNewest, size)
		if err != nil {
			return err
		}
		examined, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (o oldRun, err error) {
			return o, r.Scan(&o.CreatedAt, &o.ID, &o.due)
		})
		if err != nil {
			return err
		}
		due := dueIDs(examined)
		if due == nil {
			return nil
		}
		return tx.QueryRow(ctx, removeRunsSQL, due, p.typ.Name).Scan(&removed)
	})
	if err == nil && len(examined) > 0 {
		*after = examined[len(examined)-1].cursor
		p.removed += removed
	}
	return examined, err
}

func dueIDs(runs []oldRun) []int64 {
	var ids []int64
	for _, r := range runs {
		if r.due {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
