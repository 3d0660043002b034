package commit

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/pkg/pg/sqlstate"
)

func asksNamed(n int) []string {
	asks := make([]string, n)
	for i := range asks {
		asks[i] = fmt.Sprint("ask ", i)
	}
	return asks
}

func TestABatchIsAsFewStatementsAsCanBe(t *testing.T) {
	t.Parallel()
	g, entered, pass := gated(fine)
	keyed := 0
	g.keys = func(ask string) Keys {
		keyed++
		return spelt(ask)
	}
	for range 5 {
		pass <- struct{}{}
	}
	asks := append(asksNamed(600), "ask 0") // an equal key: not in the same statement
	results := g.DoAll(t.Context(), asks)
	for i, r := range results {
		require.NoError(t, r.Err)
		require.Equal(t, "did "+asks[i], r.Value)
	}
	close(entered)
	var sizes []int
	for group := range entered {
		sizes = append(sizes, len(group))
	}
	require.Equal(t, []int{Size, Size, 600 - 2*Size + 1}, sizes)
	require.Len(t, asks, keyed, "however long they waited")
	require.False(t, g.busy)
}

func TestABatchThatDoesNotFitIsRefusedFromThereOn(t *testing.T) {
	t.Parallel()
	g, _, pass := gated(fine)
	pass <- struct{}{}
	pass <- struct{}{}
	g.busy = true
	g.waiting = make([]*waiter[string, string], maxWaiting-10)
	for i := range g.waiting {
		g.waiting[i] = &waiter[string, string]{call: "other", lead: make(chan struct{}), done: make(chan struct{})}
	}
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan []Result[string], 1)
	go func() { answered <- g.DoAll(ctx, asksNamed(30)) }()
	queued(t, g, maxWaiting)
	cancel()
	results := <-answered
	for i, r := range results {
		if i < 10 {
			require.ErrorIs(t, r.Err, context.Canceled)
			continue
		}
		require.Equal(t, "TOO_BUSY", errs.Reason(r.Err))
	}
	queued(t, g, maxWaiting-10)
}

// If a shared statement does not get a lock, each call is repeated alone, and only the one
// that needs the locked row waits for it.
func TestWhoNeedsALockedRowWaitsAlone(t *testing.T) {
	t.Parallel()
	locked := &pgconn.PgError{Code: sqlstate.LockNotAvailable}
	var statements atomic.Int64
	g, _, pass := gated(func(asks []string) error {
		statements.Add(1)
		if slices.Contains(asks, "ask 1") {
			return locked
		}
		return nil
	})
	for range 4 {
		pass <- struct{}{}
	}
	results := g.DoAll(t.Context(), asksNamed(3))
	require.NoError(t, results[0].Err)
	require.ErrorIs(t, results[1].Err, locked)
	require.NoError(t, results[2].Err)
	require.EqualValues(t, 4, statements.Load(), "together once, then each alone")
}

// A batch too large for one statement also leads the next one. It must do that before it
// waits for its locked rows: otherwise all other calls would wait, too.
func TestABatchWithALockedRowHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	waits := make(chan struct{})
	g := &Group[string, string]{
		keys: spelt,
		exec: func(ctx context.Context, asks []string) ([]string, error) {
			switch {
			case !slices.Contains(asks, "ask 1"):
				return asks, nil
			case len(asks) > 1:
				return nil, &pgconn.PgError{Code: sqlstate.LockNotAvailable}
			}
			close(waits)
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	ctx, leave := context.WithCancel(t.Context())
	all := make(chan []Result[string], 1)
	go func() { all <- g.DoAll(ctx, asksNamed(Size+1)) }()
	<-waits
	soon, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	answer, err := g.Do(soon, "another's")
	require.NoError(t, err)
	require.Equal(t, "another's", answer)

	leave() // the call waits for the row no longer than its caller waits
	for i, r := range <-all {
		if i == 1 {
			require.ErrorIs(t, r.Err, context.Canceled)
			continue
		}
		require.NoError(t, r.Err, i)
	}
}

func TestUngroupedBatchesWorkToo(t *testing.T) {
	t.Parallel()
	g, entered, pass := gated(fine)
	g.alone = true
	pass <- struct{}{}
	pass <- struct{}{}
	require.Len(t, g.DoAll(t.Context(), asksNamed(2)), 2)
	require.Len(t, <-entered, 1)
	require.Len(t, <-entered, 1)
}
