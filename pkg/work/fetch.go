package work

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
	"github.com/tenantpilot/tenantpilot/pkg/work/fair"
)

// fairDriver is River's driver, but for which slips a process fetches: River takes
// the oldest, this takes the fairest. Everything else is River's.
type fairDriver struct {
	riverdriver.Driver[pgx.Tx]
	fetch *fetch
}

// GetExecutor is [riverdriver.Driver].
func (d fairDriver) GetExecutor() riverdriver.Executor {
	return fairExecutor{Executor: d.Driver.GetExecutor(), fetch: d.fetch}
}

type fairExecutor struct {
	riverdriver.Executor
	fetch *fetch
}

// JobGetAvailable is [riverdriver.Executor].
func (e fairExecutor) JobGetAvailable(ctx context.Context, p *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	ids, err := e.fetch.next(ctx, p.ClientID)
	if err != nil || len(ids) == 0 {
		return &riverdriver.JobGetAvailableResult{}, err
	}
	jobs, err := e.JobGetByIDMany(ctx, &riverdriver.JobGetByIDManyParams{ID: ids, Schema: p.Schema})
	if err != nil {
		e.fetch.giveBack(ids)
		return nil, err
	}
	return &riverdriver.JobGetAvailableResult{Jobs: jobs}, nil
}

// fetch picks the slips that this process works on next.
type fetch struct {
	cfg  Config
	gate *fair.Gate
	stop chan struct{} // closed at a shutdown

	mu      sync.Mutex // one fetch at a time, and of the turns
	turn    int64      // the workspace that began a run last
	tenants map[int64]int64
}

func newFetch(c Config, g *fair.Gate) *fetch {
	return &fetch{cfg: c, gate: g, stop: make(chan struct{}), turn: -1, tenants: map[int64]int64{}}
}

// close ends fetching. After it has returned no slip is picked, so the slips of runs that
// this process gives back are left to other processes.
func (f *fetch) close() {
	close(f.stop)
	f.mu.Lock() // waits for a pick that has begun
	defer f.mu.Unlock()
}

func (f *fetch) closed() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

const (
	// lookAgain is how soon slips that were held back by a limit are looked at again:
	// a run of another process may have ended.
	lookAgain = 200 * time.Millisecond
	// fetchFor bounds a fetch, so that River sees to its own affairs between two.
	fetchFor = 2 * time.Second
	// seenWithin is how long a slip counts as worked on after its process has marked it.
	seenWithin = 20 * time.Second
	sayEvery   = 5 * time.Second
)

// next marks the slips to work on as running and returns them. It returns no slips at
// once if none wait. If slips wait that may not begin yet, it waits for a while.
func (f *fetch) next(ctx context.Context, client string) ([]int64, error) {
	until := time.Now().Add(fetchFor)
	for {
		free, freed := f.gate.Free()
		if free > 0 {
			ids, more, err := f.pick(ctx, client)
			if err != nil || len(ids) == 0 {
				f.gate.LetOver()
			}
			if err != nil || len(ids) > 0 || !more {
				return ids, err
			}
		}
		if time.Now().After(until) || !f.pause(freed) {
			return nil, nil
		}
	}
}

// pause reports whether to look again: a place is free, or some time has passed.
func (f *fetch) pause(freed <-chan struct{}) bool {
	again := time.NewTimer(lookAgain)
	defer again.Stop()
	select {
	case <-f.stop:
		return false
	case <-freed:
	case <-again.C:
	}
	return true
}

const lockFetch = `-- work.lockFetch
	select pg_advisory_xact_lock(hashtextextended('work.fetch ' || $1, 0))`

// pick takes as many slips as may begin now, one after the other: each changes
// who is next. Processes of the service take turns, so that they see each other's.
// more reports whether slips wait that may not begin.
func (f *fetch) pick(ctx context.Context, client string) (ids []int64, more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed() {
		return nil, false, nil
	}
	err = pg.InTx(ctx, f.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockFetch, f.cfg.Service); err != nil {
			return err
		}
		active, err := f.census(ctx, tx)
		if err != nil {
			return err
		}
		ids, more, err = f.pickAll(ctx, tx, client, f.gate.Choice(active))
		return err
	})
	if err != nil {
		f.giveBack(ids)
		return nil, false, fmt.Errorf("fetch slips: %w", err)
	}
	return ids, more, nil
}

func (f *fetch) pickAll(ctx context.Context, tx pgx.Tx, client string, c fair.Choice) (ids []int64, more bool, err error) {
	for !c.Full() {
		id, of, waiting, err := f.pickOne(ctx, tx, client, c)
		if err != nil {
			return ids, true, err
		}
		switch {
		case id != 0:
			f.gate.Take(id, of)
			f.turn, f.tenants[of.Workspace] = of.Workspace, of.Tenant
			ids, c = append(ids, id), c.Begun(of)
		case !waiting || c.Unlimited():
			return ids, waiting, nil
		default: // no slip below a limit wants the places that are left
			c = f.gate.Unlimited(c)
		}
	}
	return ids, true, nil
}

// pickOne marks the next slip as running; id is 0 if none may begin.
func (f *fetch) pickOne(ctx context.Context, tx pgx.Tx, client string, c fair.Choice) (id int64, of fair.Owner, waiting bool, err error) {
	workspaces, err := inTurn(ctx, tx, c.LookAtWorkspaces(), f.turn, waitingWorkspaces, f.cfg.Service)
	if err != nil || len(workspaces) == 0 {
		return 0, of, false, err
	}
	for _, ws := range c.Workspaces(workspaces) {
		last, ok := f.tenants[ws]
		if !ok {
			last = -1
		}
		tenants, err := inTurn(ctx, tx, c.LookAtTenants(ws), last, waitingTenants, f.cfg.Service, ws)
		if err != nil {
			return 0, of, true, err
		}
		for _, t := range c.Tenants(ws, tenants) {
			of := fair.Owner{Workspace: ws, Tenant: t}
			id, err := claim(ctx, tx, f.cfg.Service, client, of)
			if err != nil || id != 0 {
				return id, of, true, err
			}
		}
	}
	return 0, of, true, nil
}

// giveBack frees the places of slips that will not be worked on.
func (f *fetch) giveBack(ids []int64) {
	for _, id := range ids {
		f.gate.Leave(id)
	}
}

// waitingSlip is a slip that waits in queue $1, as the index slip_waiting has it.
const waitingSlip = `queue = $1 and state = 'available' and kind = 'run'`

const (
	slipWorkspace = `coalesce((args ->> 'workspace_id')::bigint, 0)`
	slipTenant    = `coalesce((args ->> 'tenant_id')::bigint, 0)`
	slipRun       = `((args ->> 'run_id')::bigint)`
)

// These skip from one workspace, or tenant, to the next by the index: what it
// costs does not depend on how many slips each has.
const waitingWorkspaces = `-- work.waitingWorkspaces
	with recursive w (id) as (
		(select ` + slipWorkspace + ` from river.river_job where ` + waitingSlip + ` and ` + slipWorkspace + ` > $2 order by 1 limit 1)
		union all
		select (select ` + slipWorkspace + ` from river.river_job where ` + waitingSlip + ` and ` + slipWorkspace + ` > w.id order by 1 limit 1)
		from w where w.id is not null
	)
	select id from w where id is not null limit $3`

const waitingTenants = `-- work.waitingTenants
	with recursive w (id) as (
		(select ` + slipTenant + ` from river.river_job
			where ` + waitingSlip + ` and ` + slipWorkspace + ` = $4 and ` + slipTenant + ` > $2 order by 1 limit 1)
		union all
		select (select ` + slipTenant + ` from river.river_job
			where ` + waitingSlip + ` and ` + slipWorkspace + ` = $4 and ` + slipTenant + ` > w.id order by 1 limit 1)
		from w where w.id is not null
	)
	select id from w where id is not null limit $3`

// inTurn returns the first n ids that come after the last one, and then those from
// the beginning up to it.
func inTurn(ctx context.Context, tx pgx.Tx, n int, last int64, sql, queue string, more ...any) ([]int64, error) {
	after, err := idsAfter(ctx, tx, n, last, sql, queue, more)
	if err != nil || len(after) == n {
		return after, err
	}
	before, err := idsAfter(ctx, tx, n-len(after), math.MinInt64, sql, queue, more)
	for _, id := range before {
		if id <= last {
			after = append(after, id)
		}
	}
	return after, err
}

func idsAfter(ctx context.Context, tx pgx.Tx, n int, last int64, sql, queue string, more []any) ([]int64, error) {
	rows, err := tx.Query(ctx, sql, append([]any{queue, last, n}, more...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// A process that does not know of fairness may be fetching the same slip.
const claimSlip = `-- work.claimSlip
	update river.river_job set state = 'running', attempt = attempt + 1, attempted_at = now(), attempted_by = array_append(attempted_by, $2)
	where id = (
		select id from river.river_job
		where ` + waitingSlip + ` and ` + slipWorkspace + ` = $3 and ` + slipTenant + ` = $4
		order by ` + slipRun + ` limit 1 for update skip locked
	)
	returning id`

// claim marks the slip of a tenant's oldest run as running; 0 if there is none.
func claim(ctx context.Context, tx pgx.Tx, queue, client string, of fair.Owner) (id int64, err error) {
	err = tx.QueryRow(ctx, claimSlip, queue, client, of.Workspace, of.Tenant).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// Each process marks the slips it works on every 5 s. A running slip whose mark is old
// was left behind by a killed process. So was one whose mark lies in the future, because
// the clock was set back.
const alive = `attempted_at between now() - $2::interval and now() + $2::interval`

const countActive = `-- work.countActive
	select ` + slipWorkspace + `, ` + slipTenant + `, count(*) from river.river_job
	where queue = $1 and state = 'running' and kind = 'run' and ` + alive + `
	group by 1, 2`

func (f *fetch) census(ctx context.Context, tx pgx.Tx) (fair.Census, error) {
	c := fair.NewCensus()
	rows, err := tx.Query(ctx, countActive, f.cfg.Service, seenWithin)
	if err != nil {
		return c, err
	}
	var of fair.Owner
	var n int
	_, err = pgx.ForEachRow(rows, []any{&of.Workspace, &of.Tenant, &n}, func() error {
		c.Add(of, n)
		return nil
	})
	return c, err
}

const sayAlive = `-- work.sayAlive
	update river.river_job set attempted_at = now() where id = any($1) and state = 'running'`

// say tells the other processes until ctx ends which slips are worked on here.
func (f *fetch) say(ctx context.Context) {
	for pause.For(ctx, sayEvery) == nil {
		if err := f.sayOnce(ctx); err != nil && ctx.Err() == nil {
			f.cfg.Log.WarnContext(ctx, "other processes were not told which runs are worked on", "err", err)
		}
	}
}

func (f *fetch) sayOnce(ctx context.Context) error {
	ids := f.gate.Slips()
	if len(ids) == 0 {
		return nil
	}
	_, err := f.cfg.Pool.Exec(ctx, sayAlive, ids)
	return err
}
