package store

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
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
	for range 5 {
		pass <- struct{}{}
	}
	asks := append(asksNamed(600), "ask 0") // the same run twice: not in one statement
	results := g.doAll(t.Context(), asks)
	for i, r := range results {
		require.NoError(t, r.err)
		require.Equal(t, "did "+asks[i], r.answer)
	}
	close(entered)
	var sizes []int
	for group := range entered {
		sizes = append(sizes, len(group))
	}
	require.Equal(t, []int{groupSize, groupSize, 600 - 2*groupSize + 1}, sizes)
	require.False(t, g.busy)
}

func TestABatchThatDoesNotFitIsRefusedFromThereOn(t *testing.T) {
	t.Parallel()
	g, _, pass := gated(fine)
	pass <- struct{}{}
	pass <- struct{}{}
	g.busy = true
	g.waiting = make([]*waiter[string, string], groupWaiting-10)
	for i := range g.waiting {
		g.waiting[i] = &waiter[string, string]{ask: "other", lead: make(chan struct{}), done: make(chan struct{})}
	}
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan []result[string], 1)
	go func() { answered <- g.doAll(ctx, asksNamed(30)) }()
	queued(t, g, groupWaiting)
	cancel()
	results := <-answered
	for i, r := range results {
		if i < 10 {
			require.ErrorIs(t, r.err, context.Canceled)
			continue
		}
		require.Equal(t, "TOO_BUSY", errs.Reason(r.err))
	}
	queued(t, g, groupWaiting-10)
}

// A lock that a shared statement did not get is waited for by those who need it.
func TestWhoNeedsALockedRowWaitsAlone(t *testing.T) {
	t.Parallel()
	locked := &pgconn.PgError{Code: "55P03"}
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
	results := g.doAll(t.Context(), asksNamed(3))
	require.NoError(t, results[0].err)
	require.ErrorIs(t, results[1].err, locked)
	require.NoError(t, results[2].err)
	require.EqualValues(t, 4, statements.Load(), "together once, then each alone")
}

func TestUngroupedBatchesWorkToo(t *testing.T) {
	t.Parallel()
	g, entered, pass := gated(fine)
	g.alone = true
	pass <- struct{}{}
	pass <- struct{}{}
	require.Len(t, g.doAll(t.Context(), asksNamed(2)), 2)
	require.Len(t, <-entered, 1)
	require.Len(t, <-entered, 1)
}
