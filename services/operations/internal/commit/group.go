// Package commit lets concurrent calls share one SQL statement and its commit
// ("group commit"). It knows nothing about runs: the caller of [New] says what its calls
// are, which of them may not share a statement, and how to execute a statement.
//
//	call 1  executes [1] ────────► returns
//	call 2     arrives, waits ───┐
//	call 3       arrives, waits ─┤
//	call 4         arrives, waits┴► 2 executes [2 3 4] ───► 2, 3 and 4 return
//	call 5                             arrives, waits ────► executes [5] ────► …
//
// One statement of a group is in flight at a time. A call that arrives meanwhile
// waits. When the statement has committed, the call that has waited longest becomes
// the leader: it executes one statement for all that wait. There is no timer and no
// goroutine, so a call that is alone pays nothing.
//
// It is not a queue of work: every call waits for its own result.
package commit

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
)

// Size is the largest number of calls in one statement.
const Size = 256

const (
	maxWaiting       = 4096             // further calls are refused
	statementTimeout = 10 * time.Second // whatever the deadlines of its calls
	busyRetry        = 50 * time.Millisecond
	deadlockRetries  = 3
)

// Group lets calls of type C share statements; each call gets a result of type R.
type Group[C, R any] struct {
	exec  Exec[C, R]
	keys  func(C) Keys
	meter *meter // nil: measures nothing
	alone bool   // see Ungroup

	mu      sync.Mutex
	busy    bool // a leader executes a statement, or is about to
	waiting []*waiter[C, R]
}

// Exec executes one statement for calls and returns one result for each, in the
// order of calls. If it returns an error, it has changed nothing.
type Exec[C, R any] func(ctx context.Context, calls []C) ([]R, error)

// Keys name the rows that a call changes. Two calls with an equal key never run in
// the same statement; a hash collision only costs them that. Zero is no key. The
// calls of a statement are sorted by their first key.
type Keys [2]uint64

// New returns a group that executes its statements with exec. Metrics label its
// measurements with name; nil measures nothing.
func New[C, R any](m *Metrics, name string, keys func(C) Keys, exec Exec[C, R]) *Group[C, R] {
	g := &Group[C, R]{exec: exec, keys: keys}
	g.meter = m.meter(name, g.length)
	return g
}

// Ungroup makes every call execute a statement of its own, concurrently with the
// others. The benchmark measures groups against it. Call it before the first call.
func (g *Group[C, R]) Ungroup() { g.alone = true }

// waiter is a call in the queue.
type waiter[C, R any] struct {
	call   C
	keys   Keys
	lead   chan struct{} // closed: execute the next statement yourself
	done   chan struct{} // closed: result and err are set
	taken  bool          // it has left the queue; the group's lock guards it
	served bool          // done is closed; only the leader uses it
	result R
	err    error
}

// Result is the outcome of one of several calls.
type Result[R any] struct {
	Value R
	Err   error
}

// Do returns the result of call after the statement it was part of has committed.
func (g *Group[C, R]) Do(ctx context.Context, call C) (R, error) {
	if g.alone {
		return g.single(ctx, call)
	}
	w := g.newWaiter(call)
	g.mu.Lock()
	w, leads := g.enter(w)
	g.mu.Unlock()
	r := g.wait(ctx, w, leads)
	if errors.Is(r.Err, ErrLocked) {
		return g.single(ctx, call)
	}
	return r.Value, r.Err
}

// DoAll is [Group.Do] for several calls: it returns a result for each, in their order.
func (g *Group[C, R]) DoAll(ctx context.Context, calls []C) []Result[R] {
	results := g.DoTogether(ctx, calls)
	// Retry calls with locked rows only now. Earlier, one of our calls might be the
	// leader, and everybody else would wait while this goroutine waits for a row.
	locked := func(i int) bool { return errors.Is(results[i].Err, ErrLocked) }
	Settle(len(calls), locked, func(i int) {
		if locked(i) {
			results[i].Value, results[i].Err = g.single(ctx, calls[i])
		}
	})
	return results
}

// DoTogether returns a result for each of calls, in their order. All of them enter
// the queue at once, so that they share statements. If a result's error is
// [ErrLocked], nothing was done for that call.
func (g *Group[C, R]) DoTogether(ctx context.Context, calls []C) []Result[R] {
	results := make([]Result[R], len(calls))
	if g.alone {
		for i, call := range calls {
			results[i].Value, results[i].Err = g.single(ctx, call)
		}
		return results
	}
	ws, leads := g.enterAll(calls)
	// The calls are waited for in order. That is safe: the leader is always the call
	// that has waited longest, so if it is one of ours, all before it are served.
	for i, w := range ws {
		results[i] = g.wait(ctx, w, leads[i])
	}
	return results
}

// enterAll queues calls; see enter.
func (g *Group[C, R]) enterAll(calls []C) (ws []*waiter[C, R], leads []bool) {
	ws, leads = make([]*waiter[C, R], len(calls)), make([]bool, len(calls))
	for i, call := range calls {
		ws[i] = g.newWaiter(call) // computes the keys, so not under the lock
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range ws {
		ws[i], leads[i] = g.enter(w)
	}
	return ws, leads
}

// wait returns the result of w after executing a statement if w leads. If the error
// is ErrLocked, the caller must execute a statement for this call alone. A nil w
// found no room in the queue.
func (g *Group[C, R]) wait(ctx context.Context, w *waiter[C, R], leads bool) Result[R] {
	if w == nil {
		return Result[R]{Err: errs.Exhausted("TOO_BUSY", busyRetry, "too many calls are waiting; try again in a moment")}
	}
	if !leads {
		select {
		case <-w.done:
			return Result[R]{w.result, w.err}
		case <-w.lead:
		case <-ctx.Done():
			if g.leave(w) {
				return Result[R]{Err: context.Cause(ctx)}
			}
			select {
			case <-w.done:
				return Result[R]{w.result, w.err}
			case <-w.lead:
			}
		}
	}
	g.flush(ctx)
	<-w.done
	return Result[R]{w.result, w.err}
}

// ErrLocked is the error of calls whose shared statement did not get its row locks
// in time. Usually only one of them needs the locked row, and the others succeed if
// they are repeated.
var ErrLocked = errors.New("a row that one of the calls needs is locked")

// single executes a statement for call alone, without queueing. Nobody else waits
// for it, so it ends with ctx.
func (g *Group[C, R]) single(ctx context.Context, call C) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	w := &waiter[C, R]{call: call, done: make(chan struct{})}
	g.serve(ctx, []*waiter[C, R]{w})
	return w.result, w.err
}

func (g *Group[C, R]) newWaiter(call C) *waiter[C, R] {
	return &waiter[C, R]{call: call, keys: g.keys(call), lead: make(chan struct{}), done: make(chan struct{})}
}

// enter queues w and reports whether it must execute the next statement. It returns
// nil if the queue is full. The caller holds the lock.
func (g *Group[C, R]) enter(w *waiter[C, R]) (*waiter[C, R], bool) {
	if len(g.waiting) >= maxWaiting {
		g.meter.refuse()
		return nil, false
	}
	g.waiting = append(g.waiting, w)
	leads := !g.busy
	g.busy = true
	w.taken = leads
	return w, leads
}

// leave removes w from the queue. It reports false if w is being served or leads.
func (g *Group[C, R]) leave(w *waiter[C, R]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.taken {
		return false
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(o *waiter[C, R]) bool { return o == w })
	return true
}

// flush executes one statement for the calls that wait; the leader calls it.
func (g *Group[C, R]) flush(ctx context.Context) {
	g.gather()
	batch := g.take()
	// The statement serves other calls too, so it does not end when the leader's caller gives up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	defer g.handOver()
	defer abandon(batch)
	defer g.meter.flushed(len(batch), time.Now())
	g.serve(ctx, batch)
}

// abandon fails the calls that a panic left without a result.
func abandon[C, R any](batch []*waiter[C, R]) {
	for _, w := range batch {
		if !w.served {
			w.served, w.err = true, errors.New("the statement ended without a result")
			close(w.done)
		}
	}
}

// gather yields to other goroutines as long as that brings more calls. A goroutine
// that is ready to run and about to call thus joins this statement. On an idle
// service no goroutine is ready, and it costs nothing.
func (g *Group[C, R]) gather() {
	for before, now := -1, g.length(); before < now && now < Size; before, now = now, g.length() {
		runtime.Gosched()
	}
}

// length returns how many calls wait.
func (g *Group[C, R]) length() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// take removes the calls of the next statement from the queue: those that have
// waited longest, but of calls with an equal key only the first. It sorts them by
// key, so that all statements lock rows in the same order: otherwise two could
// deadlock.
func (g *Group[C, R]) take() []*waiter[C, R] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var batch, rest []*waiter[C, R]
	seen := map[uint64]bool{}
	for _, w := range g.waiting {
		if len(batch) == Size || seen[w.keys[0]] || seen[w.keys[1]] {
			rest = append(rest, w)
		} else {
			w.taken = true
			batch = append(batch, w)
		}
		// A call that stays behind keeps its keys, too: a later call with one of
		// them must not overtake it.
		for _, k := range w.keys {
			seen[k] = k != 0
		}
	}
	g.waiting = rest
	slices.SortFunc(batch, func(a, b *waiter[C, R]) int { return cmp.Compare(a.keys[0], b.keys[0]) })
	return batch
}

// handOver makes the call that has waited longest the next leader.
func (g *Group[C, R]) handOver() {
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

// serve executes one statement for batch and gives each call its result. If the
// statement fails because of what one of the calls says, each gets its own statement.
func (g *Group[C, R]) serve(ctx context.Context, batch []*waiter[C, R]) {
	results, err := g.execute(ctx, batch)
	if err != nil && len(batch) > 1 && sqlstate.BadData(err) {
		for _, w := range batch {
			g.serve(ctx, []*waiter[C, R]{w})
		}
		return
	}
	if len(batch) > 1 && sqlstate.Is(err, sqlstate.LockNotAvailable) {
		err = ErrLocked
	}
	for i, w := range batch {
		if w.err = err; err == nil {
			w.result = results[i]
		}
		w.served = true
		close(w.done)
	}
}

// execute executes one statement for batch, again after a deadlock.
func (g *Group[C, R]) execute(ctx context.Context, batch []*waiter[C, R]) ([]R, error) {
	calls := make([]C, len(batch))
	for i, w := range batch {
		calls[i] = w.call
	}
	results, err := g.exec(ctx, calls)
	for range deadlockRetries {
		if !sqlstate.Is(err, sqlstate.DeadlockDetected) {
			break
		}
		results, err = g.exec(ctx, calls)
	}
	return results, err
}
