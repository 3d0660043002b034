package fleet

import (
	"context"
	"slices"
)

// Fleet is the processes that run now. Its owner must call Stop.
type Fleet struct {
	logs     string
	guard    *Guard
	children []*child
	died     chan *child
	stopping chan struct{}
}

// New returns a fleet without processes. Those that it starts log into the folder logs.
func New(logs string, guard *Guard) *Fleet {
	return &Fleet{logs: logs, guard: guard, died: make(chan *child), stopping: make(chan struct{})}
}

// Start runs p and returns when it is ready. If Start fails, p has ended.
func (f *Fleet) Start(ctx context.Context, p Process) error {
	c, err := start(p, f.logs, f.guard)
	if err != nil {
		return err
	}
	if err := c.ready(ctx); err != nil {
		c.stop()
		return err
	}
	f.children = append(f.children, c)
	go f.report(c)
	return nil
}

// report hands c to Wait if c ends before Stop was called.
func (f *Fleet) report(c *child) {
	select {
	case <-c.done:
	case <-f.stopping:
		return
	}
	select {
	case f.died <- c:
	case <-f.stopping:
	}
}

// Wait returns nil when ctx ends, or an error describing the first process that
// ended by itself.
func (f *Fleet) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case c := <-f.died:
		return c.failure("ended")
	}
}

// Stop ends every process, the last started first, and waits for each.
func (f *Fleet) Stop() {
	close(f.stopping)
	for _, c := range slices.Backward(f.children) {
		c.stop()
	}
}
