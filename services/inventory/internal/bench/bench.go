// Package bench measures an inventory sync: against a bare HTTP client that makes the
// same requests, a second sync against the first, and the memory that a sync needs.
// Only the command benchsync uses it.
package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
)

// concurrency is the number of requests in flight, of the sync and of the bare client.
const concurrency = 8

// Bench is what is measured.
type Bench struct {
	Policies int // in the tenant whose sync is timed
	Rounds   int // how often everything is measured; the medians count
	Large    int // policies in the tenant whose sync's memory is measured; 0: memory is not measured
}

// round is one measurement of everything, one right after the other.
type round struct {
	first, bare, second outcome
	firstWAL, secondWAL int64
}

// Run measures, and writes the results to out. What it measures runs in child
// processes: it starts this program again with -child, which must then call [Child].
func (b Bench) Run(ctx context.Context, out io.Writer) error {
	w, err := newWorld(ctx, b.Policies)
	if err != nil {
		return err
	}
	defer w.close()
	// The very first sync does not count: it warms up server and simulator, and its
	// requests are recorded.
	w.recorder.start()
	warm, err := w.sync(ctx, "warm", 1)
	if err != nil {
		return err
	}
	requests := w.recorder.stop()
	fmt.Fprintf(out, "%d policies, %d requests in flight, %s a call, no quotas; medians of %d rounds\n",
		b.Policies, concurrency, latency, b.Rounds)
	var rounds []round
	for n := range b.Rounds {
		r, err := w.round(ctx, fmt.Sprintf("round%d", n), requests)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  round %d: first %.2f s, bare %.2f s, second %.2f s\n", n+1, r.first.Seconds, r.bare.Seconds, r.second.Seconds)
		rounds = append(rounds, r)
	}
	report(out, warm, rounds, len(requests))
	if b.Large == 0 {
		return nil
	}
	return b.memory(ctx, out)
}

func (w *world) round(ctx context.Context, database string, requests []request) (r round, err error) {
	if r.firstWAL, err = w.wal(ctx, func() (err error) { r.first, err = w.sync(ctx, database, 1); return err }); err != nil {
		return r, err
	}
	if r.bare, err = w.bare(ctx, requests); err != nil {
		return r, err
	}
	r.secondWAL, err = w.wal(ctx, func() (err error) { r.second, err = w.sync(ctx, database, 2); return err })
	return r, err
}

func report(out io.Writer, warm outcome, rounds []round, requests int) {
	first, bare, second := seconds(rounds, func(r round) float64 { return r.first.Seconds }),
		seconds(rounds, func(r round) float64 { return r.bare.Seconds }), seconds(rounds, func(r round) float64 { return r.second.Seconds })
	last := rounds[len(rounds)-1]
	fmt.Fprintf(out, "first sync    %8.2f s   %d created, %d requests\n", first, last.first.Counts["created"], requests)
	fmt.Fprintf(out, "bare client   %8.2f s   the same requests\n", bare)
	fmt.Fprintf(out, "second sync   %8.2f s   %d unchanged, %d new versions\n", second, last.second.Counts["unchanged"],
		last.second.Counts["created"]+last.second.Counts["updated"])
	goal(out, "first / bare", first/bare, 1.3)
	goal(out, "second / first", second/first, 1)
	goal(out, "WAL, second / first", float64(last.secondWAL)/float64(last.firstWAL), 0.05)
	fmt.Fprintf(out, "WAL           %8.1f MiB, then %.2f MiB (a checkpoint before each)\n", mebi(last.firstWAL), mebi(last.secondWAL))
	fmt.Fprintf(out, "peak memory   %8.1f MiB\n", mebi(warm.PeakBytes))
}

// memory measures the memory of a sync of a large tenant. Its time is not compared.
func (b Bench) memory(ctx context.Context, out io.Writer) error {
	w, err := newWorld(ctx, b.Large)
	if err != nil {
		return err
	}
	defer w.close()
	first, err := w.sync(ctx, "large", 1)
	if err != nil {
		return err
	}
	second, err := w.sync(ctx, "large", 2)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d policies: first %.2f s, second %.2f s\n", b.Large, first.Seconds, second.Seconds)
	goal(out, "peak memory, MiB", mebi(max(first.PeakBytes, second.PeakBytes)), 256)
	return nil
}

func goal(out io.Writer, what string, got, limit float64) {
	verdict := "ok"
	if got > limit {
		verdict = "MISSED"
	}
	fmt.Fprintf(out, "%-22s %8.3f   goal ≤ %g: %s\n", what, got, limit, verdict)
}

func seconds(rounds []round, of func(round) float64) float64 {
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b round) int { return cmp.Compare(of(a), of(b)) })
	return of(sorted[len(sorted)/2])
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }
