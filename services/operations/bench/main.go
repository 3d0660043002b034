// Command bench measures the run store as services use it: through gRPC with mutual TLS, in a
// process of its own. It compares it with other ways to keep runs on the same PostgreSQL:
// pgbench writing the same rows, a table of one row a run, River, and the service without
// group commit. It checks only one promise: every acknowledged run is stored.
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

// options are the flags.
type options struct {
	rounds   int
	length   time.Duration // of a closed-loop turn
	open     time.Duration // of an open-loop turn
	active   int           // number of runs that send heartbeats
	beats    float64       // heartbeats a second
	watchers int
	seed     int   // completed runs in the database before a turn
	conns    int   // size of the pools of the service and of River
	lists    []int // numbers of runs at which reading is measured
	reads    int   // calls of each kind of reading
	write    bool  // measure writing
	dir      string
	only     string // a pattern of the names of turns to run
	profile  string // folder for profiles of the service
}

// serveArgument, as the first argument, makes this command the service that it measures.
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
	debug.SetGCPercent(800) // our clients and River run in this process, and are not measured
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
