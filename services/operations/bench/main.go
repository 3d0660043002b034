// Command bench measures the run store as it is used, through gRPC with mutual
// TLS in a process of its own, against what else could keep runs on the same
// PostgreSQL: pgbench writing the same rows, a bare table, River, and the
// service itself without grouping. It proves nothing about correctness except
// that what was acknowledged is there.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

// options are what a benchmark is asked for.
type options struct {
	rounds   int
	length   time.Duration // of a closed-loop turn
	open     time.Duration // of an open-loop turn
	active   int           // runs that send heartbeats
	beats    float64       // heartbeats a second
	watchers int
	seed     int   // completed runs that are there before a turn
	conns    int   // of the service's pool, and of River's
	lists    []int // rows to measure reading at
	reads    int   // of each kind
	write    bool  // measure writing
	dir      string
	only     string // a pattern of the turns wanted
	profile  string // where profiles of the service go
}

// serveArgument makes this command the service it measures.
const serveArgument = "serve"

func main() {
	if len(os.Args) == 2 && os.Args[1] == serveArgument {
		obs.Main(operations.Name, operations.Service.Serve)
		return
	}
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	debug.SetGCPercent(800) // ours and River's clients are in this process, and are not what is measured
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err = bench(ctx, opts, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{
		rounds: 3, length: 6 * time.Second, open: 20 * time.Second, active: 5000, beats: 1000, watchers: 1000, seed: 50_000, reads: 300,
	}
	if slices.Contains(args, "-short") {
		o.rounds, o.length, o.open = 1, 300*time.Millisecond, time.Second
		o.active, o.beats, o.watchers, o.seed, o.reads = 100, 200, 20, 500, 5
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Bool("short", false, "other defaults: a minute's run that shows that everything works; its numbers mean nothing")
	f.BoolVar(&o.write, "write", true, "measure writing")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each is measured; they take turns")
	f.DurationVar(&o.length, "length", o.length, "of a turn")
	f.DurationVar(&o.open, "open", o.open, "of a turn at a fixed rate")
	f.IntVar(&o.active, "active", o.active, "active runs that send heartbeats")
	f.Float64Var(&o.beats, "beats", o.beats, "heartbeats a second")
	f.IntVar(&o.watchers, "watchers", o.watchers, "who watch a workspace")
	f.IntVar(&o.seed, "seed", o.seed, "completed runs in the database before a turn")
	f.IntVar(&o.conns, "conns", 16, "connections of the service's pool")
	f.StringVar(&o.only, "only", "", "a regular expression: only these turns")
	f.StringVar(&o.profile, "profile", "", "a folder for CPU profiles of the service, one a turn")
	f.StringVar(&o.dir, "dir", "", "where the database goes; a new temporary folder if empty")
	f.IntVar(&o.reads, "reads", o.reads, "of each kind, one after the other")
	f.Func("rows", "measure reading at these numbers of runs, for example 10000,1000000,5000000", func(list string) (err error) {
		o.lists, err = numbers(list)
		return err
	})
	return o, f.Parse(args)
}

func bench(ctx context.Context, o options, out io.Writer) error {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.describe(ctx, out); err != nil {
		return err
	}
	if o.write {
		if err := w.compare(ctx, out); err != nil {
			return err
		}
	}
	return w.read(ctx, out)
}
