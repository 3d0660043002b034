// Command bench measures the time from the commit of a change to a run until all watchers have
// it. The watchers are browsers on run pages and programs on the stream of their workspace.
// They use HTTP through the gateway, and every service is a process of its own with mutual TLS.
// It fails if a watcher misses a change or gets changes out of order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	pages   int           // number of watchers with the page of a run open
	streams int           // number of watchers on the stream of the workspace
	rate    float64       // runs started a second
	life    time.Duration // how long a run runs
	bursts  int           // bursts of two reports in the life of a run
	length  time.Duration // the measured time; the first pages open one life earlier
	rounds  int
	dir     string
	profile string // folder for profiles of gateway and operations
}

func main() {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], servePrefix) {
		serve(strings.TrimPrefix(os.Args[1], servePrefix))
		return
	}
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	debug.SetGCPercent(800) // the watchers run in this process, and are not measured
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err = bench(ctx, opts, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{pages: 500, streams: 500, rate: 20, life: 10 * time.Second, bursts: 4, length: 20 * time.Second, rounds: 3}
	if slices.Contains(args, "-short") {
		o = options{pages: 10, streams: 10, rate: 10, life: 1500 * time.Millisecond, bursts: 2, length: 1500 * time.Millisecond, rounds: 1}
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Bool("short", false, "other defaults: a few seconds' run that shows that everything works; its numbers mean nothing")
	f.IntVar(&o.pages, "pages", o.pages, "watchers with a run's page open")
	f.IntVar(&o.streams, "streams", o.streams, "watchers on the workspace's stream")
	f.Float64Var(&o.rate, "rate", o.rate, "runs started a second")
	f.DurationVar(&o.life, "life", o.life, "of a run")
	f.IntVar(&o.bursts, "bursts", o.bursts, "of two reports each in a run's life: the first is to be told at once, the second comes too soon after it")
	f.DurationVar(&o.length, "length", o.length, "of a round, after one life to warm up")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often")
	f.StringVar(&o.dir, "dir", "", "where the database goes; a new temporary folder if empty")
	f.StringVar(&o.profile, "profile", "", "a folder for CPU profiles of gateway and operations")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if gap := o.life / time.Duration(o.bursts+1); o.bursts < 1 || o.rate <= 0 || gap < 3*burstGap {
		return o, errors.New("a run needs a burst, and every burst 0.3 s of its life")
	}
	return o, nil
}

func bench(ctx context.Context, o options, out io.Writer) (err error) {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.describe(ctx, out); err != nil {
		return err
	}
	for n := range o.rounds {
		r, err := w.round(ctx)
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
		r.print(out, n+1)
		if err := r.complete(); err != nil {
			return err
		}
	}
	return nil
}
