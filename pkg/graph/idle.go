package graph

import (
	"context"
	"slices"
	"sync"
	"time"
)

// longWait is the shortest wait that OnWait reports. The limiter makes
// requests wait for milliseconds all the time.
const longWait = time.Second

// idle knows whether a client only waits: no request is on its way, and at least
// one waits for quota or for the time of its next attempt.
type idle struct {
	mu      sync.Mutex
	sending int
	waiting []time.Time // until when each of them waits
	now     func() time.Time
	tell    func(d time.Duration) (resume func(context.Context))
	resume  func(context.Context) // not nil from the call of tell until the client sends again
}

// OnWait calls tell when this client begins to wait, for a second or more, while
// none of its requests is on its way. It passes the time until the shortest of its
// waits ends. Before it sends the next request, the client calls the function that tell
// returned, and waits until that returns.
func (c *Client) OnWait(tell func(d time.Duration) (resume func(context.Context))) {
	c.idle.mu.Lock()
	defer c.idle.mu.Unlock()
	c.idle.tell = tell
}

// wait waits for d, or until ctx ends.
func (c *Client) wait(ctx context.Context, d time.Duration) error {
	if d < longWait {
		return c.pool.sleep(ctx, d)
	}
	until := c.pool.now().Add(d)
	c.idle.beginWait(until)
	defer c.idle.endWait(ctx, until)
	return c.pool.sleep(ctx, d)
}

func (i *idle) beginWait(until time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = append(i.waiting, until)
	i.check()
}

func (i *idle) endWait(ctx context.Context, until time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.Index(i.waiting, until)
	i.waiting = slices.Delete(i.waiting, at, at+1)
	i.goOn(ctx)
}

// begin counts a request as on its way. The client calls begin before it sends the
// request, and end after it has read the response.
func (i *idle) begin(ctx context.Context) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sending++
	i.goOn(ctx)
}

func (i *idle) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sending--
	i.check()
}

// check tells if the client has begun to wait; i.mu is held.
func (i *idle) check() {
	if i.tell != nil && i.resume == nil && i.sending == 0 && len(i.waiting) > 0 {
		i.resume = i.tell(slices.MinFunc(i.waiting, time.Time.Compare).Sub(i.now()))
	}
}

// goOn returns when the client may work. The client's other requests wait for i.mu
// meanwhile, as they should.
func (i *idle) goOn(ctx context.Context) {
	if i.resume == nil {
		return
	}
	resume := i.resume
	i.resume = nil
	resume(ctx)
}
