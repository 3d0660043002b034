package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary run as the service that is measured.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serveArgument {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every kind of turn works, with its audit. The numbers mean nothing at this size.
func TestEveryKindOfTurn(t *testing.T) {
	t.Parallel()
	opts, err := parse([]string{"-short", "-rows", "300,600", "-only",
		"^(service, (unary, 8 |batched, 8 |batches of 100, 1|unary, three)|pgbench, (same rows|bare row|three steps), 16|River|200/s and|watchers)"})
	require.NoError(t, err)
	opts.seed = 300
	var out bytes.Buffer
	require.NoError(t, bench(t.Context(), opts, &out))
	for _, want := range []string{
		"service, batches of 100", "service, batched, 8 goroutines", "three steps, 16 clients", "River, 64 goroutines", "% HOT", "watchers, 2 runs/s",
		`service, unary, three calls, 64 callers / best of "pgbench, three steps"`, "counts and summary", "slowest p99 at 600",
	} {
		require.Contains(t, out.String(), want)
	}
}

// A contender that does less work than its peer is found.
func TestLessWorkIsNotComparable(t *testing.T) {
	t.Parallel()
	rows := func(events float64) map[string]float64 {
		return map[string]float64{"run_event": events, "run_lease": 0}
	}
	written := map[string]map[string]float64{
		sameRows + ", 8 clients": rows(2), threeSteps + ", 8 clients": rows(3), "service, unary, three calls, 64 callers": rows(3),
	}
	require.NoError(t, sameWork(written))
	written["service, unary, 8 callers"] = rows(1)
	require.ErrorContains(t, sameWork(written), "service, unary, 8 callers wrote 1.000 rows of run_event a run")
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	of := func(runs ...int) (all []score) {
		for _, n := range runs {
			all = append(all, score{tally: tally{runs: n, elapsed: 1e9}})
		}
		return all
	}
	all := scores{"service": of(300, 100), "peer, 1": of(100, 10), "peer, 2": of(50, 50)}
	got, ok := goal{of: "service", against: "peer", value: score.rate, least: true}.rounds(all)
	require.True(t, ok)
	require.Equal(t, []float64{3, 2}, got)
	_, ok = goal{of: "service", against: "nobody", value: score.rate}.rounds(all)
	require.False(t, ok)
}
