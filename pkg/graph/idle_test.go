package graph

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// waiter notes when a client begins to wait and when it goes on.
type waiter struct {
	began, resumed int
	last           time.Duration // how long the last wait takes
}

func (w *waiter) tell(d time.Duration) func(context.Context) {
	w.began++
	w.last = d
	return func(context.Context) { w.resumed++ }
}

func idleClient(w *waiter) *Client {
	c := &Client{pool: &Pool{now: time.Now, sleep: func(ctx context.Context, d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}}, idle: &idle{now: time.Now}}
	c.OnWait(w.tell)
	return c
}

func TestOnWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &waiter{}
		c := idleClient(w)
		require.NoError(t, c.wait(t.Context(), longWait-1))
		require.Zero(t, w.began, "the limiter's usual waits are nobody's business")

		require.NoError(t, c.wait(t.Context(), longWait))
		require.Equal(t, waiter{1, 1, longWait}, *w)

		c.idle.begin(t.Context())
		go func() { _ = c.wait(t.Context(), 5*time.Second) }()
		synctest.Wait()
		require.Equal(t, 1, w.began, "a request is on its way")
		c.idle.end()
		require.Equal(t, waiter{2, 1, 5 * time.Second}, *w, "now it only waits")
		c.idle.begin(t.Context())
		require.Equal(t, waiter{2, 2, 5 * time.Second}, *w, "another request goes on")
		c.idle.end()
		require.Equal(t, waiter{3, 2, 5 * time.Second}, *w)

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.wait(ctx, time.Hour) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Equal(t, 3, w.resumed, "it goes on to stop")
		time.Sleep(6 * time.Second) //nolint:forbidigo // the bubble's time
	})
}
