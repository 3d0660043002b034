package store

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	groupSize    = 256              // calls in one statement
	groupWaiting = 4096             // calls that may wait for the next ones
	groupTimeout = 10 * time.Second // of one statement, whatever its callers' deadlines
	groupRetry   = 50 * time.Millisecond
)

// group lets calls share a statement and its commit: whoever comes while one is
// in flight goes with the next. There is no timer and no goroutine of its own,
// so a call that is alone pays for nothing: it runs the statement itself, and
// then hands over to the first of those who wait, if any.
type group[Q, A any] struct {
	// run answers each ask in its place. An error means nothing was done.
	run  func(ctx context.Context, asks []Q) ([]A, error)
	keys func(Q) keys
	// alone gives every call a statement of its own; see [Store.Ungroup].
	alone bool
	meter *meter // nil measures nothing

	mu      sync.Mutex
	busy    bool // somebody runs a statement, or is about to
	waiting []*waiter[Q, A]
}

// keys stand for what an ask moves; 0 is none. Asks with a key in common never
// share a statement: to have one by chance costs them no more than that. Those
// of one statement are in the order of their first.
type keys [2]uint64

// waiter is a call in the queue.
type waiter[Q, A any] struct {
	ask    Q
	keys   keys
	lead   chan struct{} // closed: run the next statement yourself
	done   chan struct{} // closed: answered
	taken  bool          // under the group's lock: no longer waiting
	served bool          // by the leader only: done is closed
	answer A
	err    error
}

// do answers ask after the commit it went with.
func (g *group[Q, A]) do(ctx context.Context, ask Q) (A, error) {
	if g.alone {
		return g.single(ctx, ask)
	}
	w := g.waiter(ask)
	g.mu.Lock()
	w, leads := g.enter(w)
	g.mu.Unlock()
	r := g.wait(ctx, w, leads)
	if errors.Is(r.err, errBlocked) {
		return g.single(ctx, ask)
	}
	return r.answer, r.err
}

// result is what came of one of several asks.
type result[A any] struct {
	answer A
	err    error
}

// doAll answers each of asks as do would.
func (g *group[Q, A]) doAll(ctx context.Context, asks []Q) []result[A] {
	results := g.together(ctx, asks)
	// Only now: nobody's statement runs while one of ours that leads waits for a row.
	blocked := func(i int) bool { return errors.Is(results[i].err, errBlocked) }
	settle(len(asks), blocked, func(i int) {
		if blocked(i) {
			results[i].answer, results[i].err = g.single(ctx, asks[i])
		}
	})
	return results
}

// together queues asks at once, so that as many as can share statements do, and
// returns what came of those statements. The error of an ask may be errBlocked:
// nothing was done for it.
func (g *group[Q, A]) together(ctx context.Context, asks []Q) []result[A] {
	results := make([]result[A], len(asks))
	if g.alone {
		for i, ask := range asks {
			results[i].answer, results[i].err = g.single(ctx, ask)
		}
		return results
	}
	ws, leads := make([]*waiter[Q, A], len(asks)), make([]bool, len(asks))
	for i, ask := range asks {
		ws[i] = g.waiter(ask)
	}
	g.mu.Lock()
	for i, w := range ws {
		ws[i], leads[i] = g.enter(w)
	}
	g.mu.Unlock()
	// One after the other is enough: whoever is to lead is the first of those
	// that wait, and so the first of ours that is not answered.
	for i, w := range ws {
		results[i] = g.wait(ctx, w, leads[i])
	}
	return results
}

// wait answers w, which entered, after running its statement if it leads. The
// answer may be errBlocked: it is then to be asked for by a statement of its own.
func (g *group[Q, A]) wait(ctx context.Context, w *waiter[Q, A], leads bool) result[A] {
	if w == nil {
		return result[A]{err: errs.Exhausted("TOO_BUSY", groupRetry, "too many calls are waiting; try again in a moment")}
	}
	if !leads {
		select {
		case <-w.done:
			return result[A]{w.answer, w.err}
		case <-w.lead:
		case <-ctx.Done():
			if g.leave(w) {
				return result[A]{err: context.Cause(ctx)}
			}
			select {
			case <-w.done:
				return result[A]{w.answer, w.err}
			case <-w.lead:
			}
		}
	}
	g.flush(ctx)
	<-w.done
	return result[A]{w.answer, w.err}
}

// errBlocked answers those who shared a statement that did not get its locks in
// time: most of them need others.
var errBlocked = errors.New("somebody holds a row that one of the calls needs")

// single answers ask by a statement of its own, beside the queue. It is nobody
// else's, and so ends with its caller's patience.
func (g *group[Q, A]) single(ctx context.Context, ask Q) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	w := &waiter[Q, A]{ask: ask, done: make(chan struct{})}
	g.serve(ctx, []*waiter[Q, A]{w})
	return w.answer, w.err
}

func (g *group[Q, A]) waiter(ask Q) *waiter[Q, A] {
	return &waiter[Q, A]{ask: ask, keys: g.keys(ask), lead: make(chan struct{}), done: make(chan struct{})}
}

// enter queues w, under the group's lock, and reports whether it is to run the
// next statement. It answers nil if the queue is full.
func (g *group[Q, A]) enter(w *waiter[Q, A]) (*waiter[Q, A], bool) {
	if len(g.waiting) >= groupWaiting {
		g.meter.refuse()
		return nil, false
	}
	g.waiting = append(g.waiting, w)
	leads := !g.busy
	g.busy = true
	w.taken = leads
	return w, leads
}

// leave takes w out of the queue unless it is being served, or is to serve.
func (g *group[Q, A]) leave(w *waiter[Q, A]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.taken {
		return false
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(o *waiter[Q, A]) bool { return o == w })
	return true
}

// flush runs one statement for those who wait, the caller first among them.
func (g *group[Q, A]) flush(ctx context.Context) {
	g.gather()
	batch := g.take()
	// The statement is everybody's: it does not end with its leader's patience.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), groupTimeout)
	defer cancel()
	defer g.handOver()
	defer abandon(batch)
	defer g.meter.flushed(len(batch), time.Now())
	g.serve(ctx, batch)
}

// abandon answers those a panic left without an answer; without one it finds none.
func abandon[Q, A any](batch []*waiter[Q, A]) {
	for _, w := range batch {
		if !w.served {
			w.served, w.err = true, errors.New("the statement ended without an answer")
			close(w.done)
		}
	}
}

// gather lets those who are already on their way come along: goroutines that are
// ready to run do, for as long as they bring more. If none is ready, as on an
// idle service, it costs nothing.
func (g *group[Q, A]) gather() {
	for before, now := -1, g.queued(); before < now && now < groupSize; before, now = now, g.queued() {
		runtime.Gosched()
	}
}

func (g *group[Q, A]) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// take takes the next batch out of the queue: the longest waiting, of those with
// a key in common only the first. It is sorted by key, as every statement about
// runs locks them by their ids, or two would wait for each other in a circle.
func (g *group[Q, A]) take() []*waiter[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var batch, rest []*waiter[Q, A]
	seen := map[uint64]bool{}
	for _, w := range g.waiting {
		if len(batch) == groupSize || seen[w.keys[0]] || seen[w.keys[1]] {
			rest = append(rest, w)
		} else {
			w.taken = true
			batch = append(batch, w)
		}
		for _, k := range w.keys { // a third of the same key waits behind the second
			seen[k] = k != 0
		}
	}
	g.waiting = rest
	slices.SortFunc(batch, func(a, b *waiter[Q, A]) int { return cmp.Compare(a.keys[0], b.keys[0]) })
	return batch
}

// handOver lets the first of those who wait run the next statement.
func (g *group[Q, A]) handOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.busy = false
		return
	}
	next := g.waiting[0]
	next.taken = true
	close(next.lead)
}

// serve answers the batch: together, or, if one of them is to blame for an
// error of the statement, each for itself.
func (g *group[Q, A]) serve(ctx context.Context, batch []*waiter[Q, A]) {
	asks := make([]Q, len(batch))
	for i, w := range batch {
		asks[i] = w.ask
	}
	answers, err := g.run(ctx, asks)
	for range 3 {
		if !deadlocked(err) {
			break
		}
		answers, err = g.run(ctx, asks)
	}
	if err != nil && len(batch) > 1 && blamesOne(err) {
		for _, w := range batch {
			g.serve(ctx, []*waiter[Q, A]{w})
		}
		return
	}
	if len(batch) > 1 && blocked(err) {
		err = errBlocked
	}
	for i, w := range batch {
		if w.err = err; err == nil {
			w.answer = answers[i]
		}
		w.served = true
		close(w.done)
	}
}

func deadlocked(err error) bool { return sqlState(err) == "40P01" }

// blocked reports a lock that was not free in time.
func blocked(err error) bool { return sqlState(err) == "55P03" }

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// blamesOne reports an error of the data or a constraint (SQLSTATE classes 22
// and 23): PostgreSQL did nothing, and would do the same for the innocent.
func blamesOne(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23")
}
