package work

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/work/fair"
)

// crowd has a job that reports when it begins, and ends when the test says.
type crowd struct {
	*world
	began chan *Run
	mu    sync.Mutex
	goOn  map[int64]chan struct{} // by run
	wait  chan struct{}           // closes when Graph lets the jobs of tenant throttled go on
	back  chan *Run               // throttled runs that have a place again
}

// throttled and all above are the tenants whose jobs wait for quota as soon as they begin.
const throttled = 99

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	return &crowd{
		world: setup(t), began: make(chan *Run, 1000), goOn: map[int64]chan struct{}{},
		wait: make(chan struct{}), back: make(chan *Run, 1000),
	}
}

func (c *crowd) job(ctx context.Context, r *Run) (Result, error) {
	c.began <- r
	if r.TenantID >= throttled {
		resume := r.Waiting(time.Hour)
		select {
		case <-c.wait:
		case <-ctx.Done():
		}
		resume(ctx)
		c.back <- r
	}
	select {
	case <-c.end(r.ID):
		return Result{Outcome: succeeded}, nil
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// four returns a worker with four places, two for a workspace while others wait.
func (c *crowd) four(t *testing.T) *Worker {
	t.Helper()
	return c.worker(t, c.job, func(cfg *Config) { cfg.Workers, cfg.WorkspaceShare, cfg.MaxWaiting = 4, 2, 4 })
}

// queue puts n runs of a tenant into the store, and slips for them.
func (c *crowd) queue(t *testing.T, w *Worker, n int, workspace, tenant int64) {
	t.Helper()
	var slips []slip
	for range n {
		id := c.store.AddFor(workspace, tenant, syncType)
		slips = append(slips, slip{RunID: id, WorkspaceID: workspace, TenantID: tenant})
	}
	if err := w.insert(t.Context(), slips); err != nil {
		t.Fatal(err)
	}
}

// next waits for n runs to begin and returns them by workspace and tenant.
func (c *crowd) next(t *testing.T, n int) map[fair.Owner][]*Run {
	t.Helper()
	got := map[fair.Owner][]*Run{}
	for range n {
		r := receive(t, c.began, "run that begins")
		owner := of(r.WorkspaceID, r.TenantID)
		got[owner] = append(got[owner], r)
	}
	return got
}

// end returns the channel that lets the job of a run end.
func (c *crowd) end(id int64) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goOn[id] == nil {
		c.goOn[id] = make(chan struct{})
	}
	return c.goOn[id]
}

func (c *crowd) finish(t *testing.T, r *Run) {
	t.Helper()
	close(c.end(r.ID))
	c.store.UntilCompleted(t, r.ID)
}

// nobody checks that no further run begins while the worker looks for one again.
func (c *crowd) nobody(t *testing.T, w *Worker) {
	t.Helper()
	for range 3 {
		ids, _, err := w.fetch.pick(t.Context(), "test")
		if err != nil || len(ids) != 0 {
			t.Errorf("slips %v may begin, %v", ids, err)
		}
	}
	if len(c.began) != 0 {
		t.Errorf("%d more runs have begun", len(c.began))
	}
}

func of(workspace, tenant int64) fair.Owner {
	return fair.Owner{Workspace: workspace, Tenant: tenant}
}

func sizes(got map[fair.Owner][]*Run) string {
	n := map[fair.Owner]int{}
	for w, runs := range got {
		n[w] = len(runs)
	}
	return fmt.Sprint(n)
}

// A workspace alone gets all places but one. A run of another workspace takes that one
// at once.
func TestFloodLeavesAPlaceForOthers(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.four(t)
	for tenant := range int64(10) {
		c.queue(t, w, 5, 1, tenant+1)
	}
	run(t, w)
	flood := c.next(t, 3)
	c.nobody(t, w)
	c.queue(t, w, 3, 2, 1)
	other := c.next(t, 1)
	if sizes(other) != "map[{2 1}:1]" {
		t.Errorf("next is %s", sizes(other))
	}
	// Now both workspaces have queued runs, and each stays within its share of two.
	for _, runs := range flood {
		for _, r := range runs[:1] {
			c.finish(t, r)
		}
		break
	}
	if got := sizes(c.next(t, 1)); got != "map[{2 1}:1]" {
		t.Errorf("next is %s, though workspace 1 has its share", got)
	}
}

func TestNoTenantTakesMoreThanTwoPlacesWhileOthersWait(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.worker(t, c.job, func(cfg *Config) { cfg.Workers, cfg.WorkspaceShare, cfg.MaxWaiting = 4, 4, 4 })
	c.queue(t, w, 10, 1, 1)
	c.queue(t, w, 10, 1, 2)
	run(t, w)
	got := c.next(t, 4)
	if sizes(got) != "map[{1 1}:2 {1 2}:2]" {
		t.Errorf("at work are %s", sizes(got))
	}
	c.finish(t, got[of(1, 1)][0])
	if next := sizes(c.next(t, 1)); next != "map[{1 1}:1]" {
		t.Errorf("next is %s: the tenant with fewer active runs", next)
	}
}

func TestReplicasCountTogether(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	one, two := c.four(t), c.four(t)
	c.queue(t, one, 10, 1, 1)
	c.queue(t, one, 2, 2, 1)
	c.queue(t, one, 2, 3, 1)
	run(t, one)
	run(t, two)
	// Six may begin within the limits, and a seventh because nobody else waits. One place
	// stays free.
	if got := sizes(c.next(t, 7)); got != "map[{1 1}:3 {2 1}:2 {3 1}:2]" {
		t.Errorf("at work are %s", got)
	}
	c.nobody(t, one)
	c.nobody(t, two)
}

// A run that waits for quota has no place. No other run of its tenant begins meanwhile.
func TestRunsThatWaitForQuotaKeepNobodyFromStarting(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.four(t)
	c.queue(t, w, 40, 1, throttled)
	c.queue(t, w, 8, 1, 1)
	c.queue(t, w, 8, 2, 1)
	run(t, w)
	got := c.next(t, 5)
	if sizes(got) != fmt.Sprintf("map[{1 1}:2 {1 %d}:1 {2 1}:2]", throttled) {
		t.Errorf("begun have %s", sizes(got))
	}
	c.finish(t, got[of(1, 1)][0])
	more := c.next(t, 1)
	if sizes(more) != "map[{1 1}:1]" {
		t.Errorf("begun have then %s", sizes(more))
	}
	c.nobody(t, w)
	// Graph lets the throttled run go on. It needs a place, and all are taken.
	close(c.wait)
	untilReturning(t, w.gate, 1)
	c.finish(t, more[of(1, 1)][0])
	if r := receive(t, c.back, "run that goes on"); r.TenantID != throttled {
		t.Errorf("run of tenant %d goes on", r.TenantID)
	}
}

func untilReturning(t *testing.T, g *fair.Gate, n int) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for got := 0; got != n; {
		receive(t, again.C, "tick")
		got = g.Returning()
	}
}

// A process that stops while a run waits for quota gives the run back. Another process
// completes it.
func TestShutdownWhileARunWaitsForQuota(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.four(t)
	c.queue(t, w, 1, 1, throttled)
	stop := run(t, w)
	r := c.next(t, 1)[of(1, throttled)][0]
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := c.store.Get(r.ID); got.GetStatus() != queued || got.GetAttempt() != 0 {
		t.Errorf("the run was left as %v", got)
	}
	close(c.wait)
	close(c.end(r.ID))
	run(t, c.four(t))
	if got := c.store.UntilCompleted(t, r.ID); got.GetAttempt() != 1 {
		t.Errorf("the run ended as %v", got)
	}
}

// Slips of a killed process count as active only for a while, even if the clock was set
// back since then.
func TestSlipsOfAKilledProcessDoNotCount(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]string{"long ago": "now() - interval '1 minute'", "in the future": "now() + interval '1 hour'"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			w := c.four(t)
			c.queue(t, w, 2, 1, 1)
			if _, err := c.db.Pool.Exec(t.Context(), "update river.river_job set state = 'running', attempted_at = "+when); err != nil {
				t.Fatal(err)
			}
			run(t, w)
			c.next(t, 2) // the sweep has written new ones
		})
	}
}

// A process tells the others again and again which runs it works on.
func TestLongRunsCountAsLongAsTheyAreWorkedOn(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.four(t)
	c.queue(t, w, 1, 1, 1)
	run(t, w)
	c.next(t, 1)
	if _, err := c.db.Pool.Exec(t.Context(), "update river.river_job set attempted_at = now() - interval '1 hour'"); err != nil {
		t.Fatal(err)
	}
	if err := w.fetch.sayOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	err := c.db.Pool.QueryRow(t.Context(), "select count(*) from river.river_job where attempted_at > now() - interval '1 minute'").Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d slips are spoken of, %v", n, err)
	}
}

// The version before wrote slips without a workspace. Their runs still begin.
func TestSlipOfTheVersionBeforeIsWorked(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	w := c.four(t)
	c.queue(t, w, 1, 1, 1)
	const old = `update river.river_job set args = args - 'workspace_id' - 'tenant_id'`
	if _, err := c.db.Pool.Exec(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	run(t, w)
	c.finish(t, c.next(t, 1)[of(1, 1)][0])
}
