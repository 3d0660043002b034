package commit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
)

// spelt returns a key for a short text; the keys sort as the texts do.
func spelt(ask string) (k Keys) {
	for _, letter := range ask {
		k[0] = k[0]*31 + uint64(letter)
	}
	return k
}

// gated returns a group each of whose statements sends its calls to entered and then waits
// for pass.
func gated(run func(asks []string) error) (g *Group[string, string], entered chan []string, pass chan struct{}) {
	entered, pass = make(chan []string, 100), make(chan struct{}, 100)
	g = &Group[string, string]{
		keys: spelt,
		exec: func(_ context.Context, asks []string) ([]string, error) {
			entered <- asks
			<-pass
			if err := run(asks); err != nil {
				return nil, err
			}
			answers := make([]string, len(asks))
			for i, a := range asks {
				answers[i] = "did " + a
			}
			return answers, nil
		},
	}
	return g, entered, pass
}

func fine([]string) error { return nil }

// queued waits until n calls wait for the next statement.
func queued(t *testing.T, g *Group[string, string], n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.waiting) == n
	}, 10e9, 1e6)
}

func TestCallsThatComeMeanwhileShareTheNextStatement(t *testing.T) {
	t.Parallel()
	g, entered, pass := gated(fine)
	var calls errgroup.Group
	call := func(ask string) {
		calls.Go(func() error {
			answer, err := g.Do(t.Context(), ask)
			if answer != "did "+ask {
				return fmt.Errorf("%s: %q, %w", ask, answer, err)
			}
			return nil
		})
	}
	call("first")
	require.Equal(t, []string{"first"}, <-entered, "who is alone does not wait")
	for i := range 5 {
		call(fmt.Sprint("later ", i))
		queued(t, g, i+1)
	}
	call("later 2") // an equal key: not in the same statement
	queued(t, g, 6)
	pass <- struct{}{}
	require.Equal(t, []string{"later 0", "later 1", "later 2", "later 3", "later 4"}, <-entered)
	pass <- struct{}{}
	require.Equal(t, []string{"later 2"}, <-entered)
	pass <- struct{}{}
	require.NoError(t, calls.Wait())
	require.False(t, g.busy)
}

func TestOneBadCallDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	bad := &pgconn.PgError{Code: sqlstate.InvalidTextRepresentation}
	g, entered, pass := gated(func(asks []string) error {
		for _, a := range asks {
			if a == "bad" {
				return bad
			}
		}
		return nil
	})
	for range 10 {
		pass <- struct{}{}
	}
	results := make([]error, 3)
	var calls errgroup.Group
	g.busy = true // as if a statement were in flight: all three wait and then share one
	for i, ask := range []string{"good", "bad", "also good"} {
		calls.Go(func() error {
			_, results[i] = g.Do(t.Context(), ask)
			return nil
		})
		queued(t, g, i+1)
	}
	g.handOver()
	require.NoError(t, calls.Wait())
	require.Len(t, <-entered, 3)
	require.NoError(t, results[0])
	require.ErrorIs(t, results[1], bad)
	require.NoError(t, results[2])
}

func TestADeadlockIsTriedAgainAndALostConnectionIsNot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err   error
		tries int
		ok    bool
	}{
		"deadlock":        {err: &pgconn.PgError{Code: sqlstate.DeadlockDetected}, tries: 2, ok: true},
		"lost connection": {err: errors.New("connection reset"), tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			g, _, pass := gated(func([]string) error {
				if tries.Add(1) == 1 {
					return tt.err
				}
				return nil
			})
			for range 5 {
				pass <- struct{}{}
			}
			_, err := g.Do(t.Context(), "x")
			require.Equal(t, tt.ok, err == nil)
			require.EqualValues(t, tt.tries, tries.Load())
		})
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	g, _, _ := gated(fine)
	g.busy = true
	g.waiting = make([]*waiter[string, string], maxWaiting)
	_, err := g.Do(t.Context(), "one too many")
	e, ok := errs.As(err)
	require.True(t, ok)
	require.Equal(t, "TOO_BUSY", e.Reason())
	require.Positive(t, e.RetryAfter())
}

func TestAWaiterMayLeaveButNotOnceItIsServed(t *testing.T) {
	t.Parallel()
	g, entered, pass := gated(fine)
	ctx, cancel := context.WithCancel(t.Context())
	var calls errgroup.Group
	calls.Go(func() error { _, err := g.Do(t.Context(), "first"); return err })
	<-entered
	gone := make(chan error, 1)
	go func() { _, err := g.Do(ctx, "impatient"); gone <- err }()
	queued(t, g, 1)
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	queued(t, g, 0)
	pass <- struct{}{}
	require.NoError(t, calls.Wait())

	// A leader executes its statement although its caller has left: other calls share it.
	leading, leave := context.WithCancel(t.Context())
	calls.Go(func() error { _, err := g.Do(leading, "leader"); return err })
	require.Equal(t, []string{"leader"}, <-entered)
	leave()
	pass <- struct{}{}
	require.NoError(t, calls.Wait())
}

// A panic fails one statement; it does not block the queue for ever.
func TestAPanicLeavesTheGroupWorking(t *testing.T) {
	t.Parallel()
	g, _, pass := gated(func(asks []string) error {
		if asks[0] == "poison" {
			panic("poison")
		}
		return nil
	})
	pass <- struct{}{}
	pass <- struct{}{}
	require.Panics(t, func() { _, _ = g.Do(t.Context(), "poison") })
	answer, err := g.Do(t.Context(), "after")
	require.NoError(t, err)
	require.Equal(t, "did after", answer)
}
