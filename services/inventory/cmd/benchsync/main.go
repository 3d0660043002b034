// Command benchsync measures an inventory sync against a bare HTTP client that
// makes the same requests, a second sync against the first, and its memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	policies := flag.Int("policies", 1000, "policies in the tenant whose sync is timed")
	rounds := flag.Int("rounds", 3, "how often; the medians count")
	large := flag.Int("large", 10_000, "policies in the tenant whose sync's memory is measured; 0 for none")
	child := flag.Bool("child", false, "do one task told on standard input (for its own use)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := work(ctx, *child, bench{policies: *policies, rounds: *rounds, large: *large})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchsync:", err)
		os.Exit(1)
	}
}

func work(ctx context.Context, child bool, b bench) error {
	if child {
		return doTask(ctx, os.Stdin, os.Stdout)
	}
	return b.run(ctx, os.Stdout)
}
