package collect

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

const (
	// flightsAtOnce is how many calls of one method, single or batch, may be in flight.
	// Further calls wait, to be collected.
	flightsAtOnce = 1
	// stallAfter is how long a call in flight keeps others waiting. A call that takes
	// longer is slow for a reason of its own.
	stallAfter = 100 * time.Millisecond
	mostCalls  = 1000    // in a batch; the store accepts no more
	mostBytes  = 2 << 20 // in a batch; the store accepts twice as much
)

// collector lets concurrent calls of one method share calls to the store:
//
//	call 1  ──▶ [ alone ]────────┐
//	call 2       · waits ·       ├──▶ [ 2, 3 and 4 in a batch ]──┐
//	call 3         · waits ·     │                               ├──▶ [ 5 alone ]
//	call 4           · waits ·   │                               │
//	call 5                            · waits ·                  │
//
// No call waits for a timer: one that finds nothing in flight is sent at once. The
// calls that come meanwhile are sent in one batch when it returns.
type collector[Q proto.Message, R proto.Message, A answer[R]] struct {
	alone func(context.Context, Q) (R, error)
	// many makes a batch call with encoded entries and returns one result for each.
	many  func(ctx context.Context, entries []byte) ([]A, error)
	entry func(Q, *operationsv1.EntryHeaders) proto.Message
	// repeatable reports whether a call is repeated while the store is unavailable.
	repeatable func(Q) bool
	// complete adds what the response to an entry leaves out.
	complete func(Q, R)
	patience time.Duration // stallAfter

	mu      sync.Mutex
	waiting []*waiter[Q, R, A]
	flights []*flight[Q, R, A] // in flight, without those that stalled
	stall   *time.Timer        // runs while calls wait
	armed   bool
}

func newCollector[Q proto.Message, R proto.Message, A answer[R]](
	alone func(context.Context, Q) (R, error), many func(context.Context, []byte) ([]A, error), entry func(Q, *operationsv1.EntryHeaders) proto.Message,
) *collector[Q, R, A] {
	c := &collector[Q, R, A]{
		alone: alone, many: many, entry: entry, patience: stallAfter,
		repeatable: func(Q) bool { return false }, complete: func(Q, R) {},
	}
	c.stall = time.AfterFunc(time.Hour, c.passStalled)
	c.stall.Stop()
	return c
}

// waiter is a call from its beginning to its end.
type waiter[Q proto.Message, R proto.Message, A answer[R]] struct {
	ctx    context.Context //nolint:containedctx // of the caller, for the goroutine that sends the call
	req    Q
	flight *flight[Q, R, A] // that took the call, under the collector's lock; nil while it waits
	told   chan struct{}    // gets one value: single is set, or result is
	single bool             // the caller makes the call by itself, and is its own flight
	result result[R, A]
}

// flight is a call to the store, single or batch. Others wait for it.
type flight[Q proto.Message, R proto.Message, A answer[R]] struct {
	began  time.Time
	calls  []*waiter[Q, R, A]
	packed chan struct{} // of a batch; closed when its requests are no longer read
	gone   int           // callers who gave up, under the collector's lock
	cancel context.CancelFunc
}

// call makes the call, alone or in a batch.
func (c *collector[Q, R, A]) call(ctx context.Context, req Q) (R, error) {
	ctx, cancel := rpc.WithDeadline(ctx)
	defer cancel()
	w := &waiter[Q, R, A]{ctx: ctx, req: req, told: make(chan struct{}, 1)}
	if f := c.enter(w); f != nil {
		c.depart(f)
	}
	select {
	case <-w.told:
	case <-ctx.Done():
		if !c.awaitLeave(w) {
			var none R
			return none, errs.FromStatus(status.FromContextError(ctx.Err()).Err())
		}
	}
	if w.single {
		defer c.landAndDepart(w.flight)
		return c.alone(ctx, req)
	}
	return c.settle(w)
}

// enter queues w. If another flight may begin, enter returns it, and the caller must
// let it depart.
func (c *collector[Q, R, A]) enter(w *waiter[Q, R, A]) *flight[Q, R, A] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, w)
	if len(c.flights) < flightsAtOnce {
		return c.newFlight()
	}
	c.arm()
	return nil
}

func (c *collector[Q, R, A]) newFlight() *flight[Q, R, A] {
	f := &flight[Q, R, A]{began: time.Now()}
	c.flights = append(c.flights, f)
	return f
}

// depart fills f and sends it.
func (c *collector[Q, R, A]) depart(f *flight[Q, R, A]) {
	if c.board(f) {
		go c.fly(f)
	}
}

// board fills f with the waiting calls and reports whether f is a batch, which must
// then be sent. If only one call waits, its caller is told to make it.
func (c *collector[Q, R, A]) board(f *flight[Q, R, A]) bool {
	c.gather()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(f)
	switch len(f.calls) {
	case 0: // another flight took them all
		c.flights = slices.DeleteFunc(c.flights, func(o *flight[Q, R, A]) bool { return o == f })
		return false
	case 1:
		f.calls[0].single = true
		f.calls[0].told <- struct{}{}
		return false
	}
	f.packed = make(chan struct{})
	return true
}

// gather lets goroutines run that are about to call, as long as that brings more
// calls. In an idle process no goroutine is ready to run, and gather costs nothing.
func (c *collector[Q, R, A]) gather() {
	for before, now := -1, c.queued(); before < now && now < mostCalls; before, now = now, c.queued() {
		runtime.Gosched()
	}
}

func (c *collector[Q, R, A]) queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// take moves the calls that have waited longest to f, as many as a batch may have.
func (c *collector[Q, R, A]) take(f *flight[Q, R, A]) {
	n := min(len(c.waiting), mostCalls)
	f.calls = slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	for _, w := range f.calls {
		w.flight = f
	}
}

// land ends f. If calls wait, it returns a new flight for them. A flight that stalled
// has lost its place to another flight already, so land returns nil for it.
func (c *collector[Q, R, A]) land(f *flight[Q, R, A]) *flight[Q, R, A] {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.Index(c.flights, f)
	if at < 0 {
		return nil
	}
	c.flights = slices.Delete(c.flights, at, at+1)
	if len(c.waiting) == 0 {
		return nil
	}
	return c.newFlight()
}

func (c *collector[Q, R, A]) landAndDepart(f *flight[Q, R, A]) {
	if next := c.land(f); next != nil {
		c.depart(next)
	}
}

// arm sets the timer of [collector.passStalled], under the lock.
func (c *collector[Q, R, A]) arm() {
	if !c.armed {
		c.armed = true
		c.stall.Reset(c.patience)
	}
}

// passStalled begins a flight for the waiting calls if the flight they wait for takes
// too long.
func (c *collector[Q, R, A]) passStalled() {
	c.mu.Lock()
	c.armed = false
	var next *flight[Q, R, A]
	if len(c.waiting) > 0 {
		c.flights = slices.DeleteFunc(c.flights, func(f *flight[Q, R, A]) bool { return time.Since(f.began) >= c.patience })
		if len(c.flights) < flightsAtOnce {
			next = c.newFlight()
		}
		c.arm()
	}
	c.mu.Unlock()
	if next != nil {
		c.depart(next)
	}
}

// awaitLeave is for a caller whose context has ended. If it returns false, w has left,
// and no goroutine reads its request any more. If it returns true, w was told in the
// meantime that it goes alone or has a result.
func (c *collector[Q, R, A]) awaitLeave(w *waiter[Q, R, A]) bool {
	for {
		f := c.leave(w)
		switch {
		case f == nil:
			return false
		case f.packed == nil: // w goes alone
			<-w.told
			return true
		}
		<-f.packed
		select {
		case <-w.told:
			return true
		default:
		}
		if c.abandon(f, w) {
			return false
		}
	}
}

// leave removes w from the queue. If a flight has taken w already, leave returns it.
func (c *collector[Q, R, A]) leave(w *waiter[Q, R, A]) *flight[Q, R, A] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.flight == nil {
		c.waiting = slices.DeleteFunc(c.waiting, func(o *waiter[Q, R, A]) bool { return o == w })
	}
	return w.flight
}

// abandon notes that the caller of w gave up while f was in flight. When all callers of
// f have given up, f is cancelled. It returns false if f had no room for w after all
// and w waits again.
func (c *collector[Q, R, A]) abandon(f *flight[Q, R, A], w *waiter[Q, R, A]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.flight != f {
		return false
	}
	if f.gone++; f.gone == len(f.calls) {
		f.cancel()
	}
	return true
}
