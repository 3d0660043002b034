// Command bench compares the takeover's backfill with the least that PostgreSQL needs for
// the same rows. On one server that is one INSERT … SELECT over the same mapping and one
// UPDATE of the bridge column; between two servers, COPY out and in and the same UPDATE. It
// fails unless all of them write the same rows.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// options are the flags.
type options struct {
	short  bool
	rows   int // rows of the four legacy tables together
	linked int // how many per hundred have their canonical run already
	seed   int64
	rounds int
	dir    string
	only   string // a pattern of the names of turns to run
	verify bool
}

// toolArgument, as the first argument, makes this command the tool that it measures.
const toolArgument = "takeover"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) > 1 && os.Args[1] == toolArgument {
		err = tool(ctx, os.Args[2:])
	} else {
		err = benchmark(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func benchmark(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	return w.bench(ctx, out)
}

func parse(args []string) (options, error) {
	o := options{rows: 5_000_000, rounds: 1}
	if o.short = slices.Contains(args, "-short"); o.short {
		o.rows = 2000
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Bool("short", false, "few rows, and no durability: shows that everything works; its numbers mean nothing")
	f.IntVar(&o.rows, "rows", o.rows, "legacy rows of the four tables together")
	f.IntVar(&o.linked, "linked", 20, "how many of a hundred rows are linked to a canonical run")
	f.Int64Var(&o.seed, "seed", 1, "other rows of the same kinds")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each is measured; they take turns")
	f.StringVar(&o.only, "only", "", "a regular expression: only these turns")
	f.BoolVar(&o.verify, "verify", true, "measure verify --all after the tool's last turn on one server")
	f.StringVar(&o.dir, "dir", "", "where the databases go, on a disk; a new temporary folder if empty")
	return o, f.Parse(args)
}

func (w *world) bench(ctx context.Context, out io.Writer) error {
	if err := w.describe(ctx, out); err != nil {
		return err
	}
	if err := w.templates(ctx, out); err != nil {
		return err
	}
	all, err := w.compare(ctx, out)
	if err != nil {
		return err
	}
	if err := sameRows(all); err != nil {
		return err
	}
	report(out, all)
	return nil
}
