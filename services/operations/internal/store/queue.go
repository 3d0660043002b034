package store

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// noLimit is a number of queued runs that no workspace reaches.
const noLimit = math.MaxInt32

// LimitQueue sets how many runs of a workspace may be queued at once. Call it before the
// first other call.
func (s *Store) LimitQueue(limit int) { s.maxQueued = limit }

// roomSQL returns the table "admitted" of the starts that find room in the queue of
// their workspace, which may have maxQueued runs. The queue is counted once for all of
// them. Statements that run at the same time do not see each other's runs, so a
// workspace may get as many more as such statements bring.
func roomSQL(maxQueued string) string {
	return `room as (
		select w.workspace_id, ` + maxQueued + ` - (
			select count(*) from (
				select from operation_runs o
				where o.workspace_id = w.workspace_id and o.status = 'queued' and o.origin = 'live' limit ` + maxQueued + `
			) o
		) as runs
		from (select distinct workspace_id from a where holder = '') w
	), admitted as (
		select c.ordinal
		from (
			select a.ordinal, a.workspace_id, row_number() over (partition by a.workspace_id order by a.ordinal) as rank
			from a where a.holder = ''
		) c join room using (workspace_id)
		where c.rank <= room.runs
	)`
}

const countQueuedSQL = `-- store.countQueued
	select count(*) from (
		select from operation_runs where workspace_id = $1 and status = 'queued' and origin = 'live' limit $2
	) r`

// refuseFull refuses a start that found no room in the queue of its workspace.
func (s *Store) refuseFull(ctx context.Context, a run.Start) error {
	if a.Holder != "" {
		return nil
	}
	var queued int
	if err := s.db.QueryRow(ctx, countQueuedSQL, a.WorkspaceID, s.maxQueued).Scan(&queued); err != nil {
		return fmt.Errorf("count queued runs: %w", err)
	}
	return a.CheckRoom(queued, s.maxQueued)
}

// activeWorkspacesSQL skips from one workspace with active runs to the next, from
// workspace $1 on, by the index run_active.
const activeWorkspacesSQL = `
	with recursive w (id) as (
		(select workspace_id from operation_runs where status <> 'completed' and workspace_id >= $1 order by workspace_id limit 1)
		union all
		select (select workspace_id from operation_runs where status <> 'completed' and workspace_id > w.id order by workspace_id limit 1)
		from w where w.id is not null
	)`

// mostAhead bounds what [Store.Ahead] counts.
const mostAhead = 10_000

// The rule is that of [run.Ahead]. A run's rank is its number among the queued runs of its
// tenant. Runs of its workspace with a smaller rank begin before it, and so do as many
// runs of every other workspace.
const countAheadSQL = `-- store.countAhead` + activeWorkspacesSQL + `, q as (
		select r.id, row_number() over (partition by r.tenant_id order by r.queued_at, r.id) as rank
		from operation_runs r
		where r.workspace_id = $2 and r.status = 'queued' and r.origin = 'live' and r.type = any($3)
	), here as (
		select count(*) as n from q where rank < (select rank from q where id = $4)
	)
	select least($5, here.n + (
		select count(*) from (
			select from w cross join lateral (
				select from operation_runs r
				where r.workspace_id = w.id and r.status = 'queued' and r.origin = 'live' and r.type = any($3) limit here.n
			) o
			where w.id <> $2 limit $5
		) others
	)) from here`

// Ahead returns about how many queued runs begin before r, which is queued: runs of
// types of the same service, since those share its workers.
func (s *Store) Ahead(ctx context.Context, r *run.Run) (int64, error) {
	var n int64
	types := s.types.OwnedBy(s.types[r.Type].Owner)
	err := s.db.QueryRow(ctx, countAheadSQL, 0, r.WorkspaceID, types, r.ID, mostAhead).Scan(&n)
	return n, err
}

// Dispatchable is a queued run that should have a slip, and its rank among those of
// its tenant.
type Dispatchable struct {
	ID          int64  `json:"i"`
	Epoch       int64  `json:"-"`
	Type        string `json:"-"`
	WorkspaceID int64  `json:"w"`
	TenantID    int64  `json:"-"` // 0 for none
	Rank        int64  `json:"p"` // from 1
}

const (
	// perTenant is how many runs of a tenant are listed, and perWorkspace how many of
	// a workspace: those that are next. Of the others a later list has some.
	perTenant, perWorkspace = 100, 1000
	// atATime is how many workspaces are looked at for a page.
	atATime = 50
)

const listActiveWorkspacesSQL = `-- store.listActiveWorkspaces` + activeWorkspacesSQL + `
	select id from w where id is not null limit $2`

const listDispatchableSQL = `-- store.listDispatchable
	select q.id, q.lease_epoch, q.type, w.id, coalesce(q.tenant_id, 0), q.rank
	from unnest($1::bigint[]) as w (id) cross join lateral (
		select r.id, r.lease_epoch, r.type, r.tenant_id, row_number() over (partition by r.tenant_id order by r.queued_at, r.id) as rank
		from operation_runs r
		where r.workspace_id = w.id and r.status = 'queued' and r.origin = 'live' and r.type = any($2)
		order by rank, r.id limit $7
	) q
	where q.rank <= $6 and (w.id, q.rank, q.id) > ($3, $4, $5)
	order by w.id, q.rank, q.id limit $8`

// Dispatchable returns at most limit queued runs of types, workspace by workspace,
// those first that are next, and where to go on: nil at the end. A page may have
// fewer runs than limit, or none, and not be the last.
func (s *Store) Dispatchable(ctx context.Context, types []string, from Dispatchable, limit int) ([]Dispatchable, *Dispatchable, error) {
	rows, err := s.db.Query(ctx, listActiveWorkspacesSQL, from.WorkspaceID, atATime)
	if err != nil {
		return nil, nil, err
	}
	workspaces, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(workspaces) == 0 {
		return nil, nil, err
	}
	rows, err = s.db.Query(ctx, listDispatchableSQL, workspaces, types, from.WorkspaceID, from.Rank, from.ID, perTenant, perWorkspace, limit)
	if err != nil {
		return nil, nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Dispatchable])
	switch {
	case err != nil:
		return nil, nil, err
	case len(found) == limit:
		return found, &found[limit-1], nil
	case len(workspaces) == atATime:
		return found, &Dispatchable{WorkspaceID: workspaces[atATime-1] + 1}, nil
	}
	return found, nil, nil
}
