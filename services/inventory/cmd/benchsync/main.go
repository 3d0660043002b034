// Command benchsync measures an inventory sync: see package bench.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/tenantpilot/tenantpilot/services/inventory/internal/bench"
)

func main() {
	var b bench.Bench
	flag.IntVar(&b.Policies, "policies", 1000, "policies in the tenant whose sync is timed")
	flag.IntVar(&b.Rounds, "rounds", 3, "how often; the medians count")
	flag.IntVar(&b.Large, "large", 10_000, "policies in the tenant whose sync's memory is measured; 0 for none")
	child := flag.Bool("child", false, "do one task told on standard input (for its own use)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	run := func() error { return b.Run(ctx, os.Stdout) }
	if *child {
		run = func() error { return bench.Child(ctx, os.Stdin, os.Stdout) }
	}
	err := run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchsync:", err)
		os.Exit(1)
	}
}
