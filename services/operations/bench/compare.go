package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// contender is one way to start and complete runs.
type contender struct {
	name     string
	template string
	play     func(ctx context.Context, t *turn) (score, error)
}

const (
	ungrouped = "OPERATIONS_UNGROUPED=true"
	countRuns = "select count(*) from operation_runs where status = 'completed'"
	countBare = "select count(*) from run where status = 'completed'"
)

// call measures callers of the service, each with perCall runs in a call.
func call(name string, callers, perCall int, once func(*player, context.Context, int) error, settings ...string) contender {
	return contender{name, runsTemplate, ours{callers, perCall, false, settings, once}.play}
}

// batched measures goroutines whose calls the client puts together.
func batched(name string, goroutines int) contender {
	return contender{name, runsTemplate, ours{goroutines, 1, true, nil, (*player).pair}.play}
}

// pgbench measures a script without the service, counting by the given statement.
func pgbench(name, template, user string, clients int, counted, script string) contender {
	return contender{fmt.Sprintf("%s, %d clients", name, clients), template, peer{clients, script, user, counted}.play}
}

// at measures a rate of runs a second, with active runs beside it that heartbeat.
func at(name string, rate float64, active int, beats float64) contender {
	return contender{name, runsTemplate, paced{rate, active, beats}.play}
}

// contenders returns everything that is measured, each contender next to its peers.
func (w *world) contenders() []contender {
	o := w.opts
	two, three := newIdentity+startRows+endRows, newIdentity+queueRows+beginRows+endRows
	rows := func(clients int) contender {
		return pgbench(sameRows, runsTemplate, "operations_app", clients, countRuns, two)
	}
	bare := func(clients int) contender {
		return pgbench(bareRow, bareTemplate, "postgres", clients, countBare, bareRows)
	}
	return []contender{
		call("service, unary, 1 caller", 1, 1, (*player).pair),
		batched("service, batched, 1 goroutine", 1),
		call("ungrouped, 1 caller", 1, 1, (*player).pair, ungrouped),
		rows(1),
		call("service, unary, 8 callers", 8, 1, (*player).pair),
		batched("service, batched, 8 goroutines", 8),
		rows(8), rows(16), rows(32),
		call("service, unary, 64 callers", 64, 1, (*player).pair),
		rows(64),
		bare(64),
		call("ungrouped, 64 callers", 64, 1, (*player).pair, ungrouped),
		bare(16),
		batched("service, batched, 64 goroutines", 64),
		{"River, 64 goroutines", riverTemplate, riverPlayer{inserters: 64, workers: 500, conns: 32}.play},
		call("service, unary, 256 callers", 256, 1, (*player).pair),
		batched("service, batched, 256 goroutines", 256),
		rows(128),
		call("service, batches of 100, 1 caller", 1, batchSize, (*player).batch),
		call("service, batches of 100, 8 callers", 8, batchSize, (*player).batch),
		call("service, unary, three calls, 64 callers", 64, 1, (*player).triple),
		pgbench(threeSteps, runsTemplate, "operations_app", 64, countRuns, three),
		pgbench(threeSteps, runsTemplate, "operations_app", 16, countRuns, three),
		at("100/s", 100, 0, 0), at("200/s", 200, 0, 0), at("400/s", 400, 0, 0),
		at(withBeats, 200, o.active, o.beats),
		{withWatchers, runsTemplate, watched{o.watchers, 2}.play},
	}
}

// Names that the goals refer to.
const (
	sameRows   = "pgbench, same rows"
	bareRow    = "pgbench, bare row"
	threeSteps = "pgbench, three steps"
	withBeats  = "200/s and heartbeats"
	// Its times are from an event until a watcher has it.
	withWatchers = "watchers, 2 runs/s"
)

// compare runs the turns of all contenders and prints the results.
func (w *world) compare(ctx context.Context, out io.Writer) error {
	only, err := regexp.Compile(w.opts.only)
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(w.contenders(), func(c contender) bool { return !only.MatchString(c.name) })
	fmt.Fprintf(out, "%d rounds, %s a turn, %s at fixed rates; every turn on a copy of %d completed runs, service with %d connections\n",
		w.opts.rounds, w.opts.length, w.opts.open, w.opts.seed, w.opts.conns)
	all := scores{}
	written := map[string]map[string]float64{}
	for n := range w.opts.rounds {
		for _, c := range list {
			s, err := w.turn(ctx, c, written)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			all[c.name] = append(all[c.name], s)
			fmt.Fprintf(out, "  round %d  %s\n", n+1, line(c.name, []score{s}))
		}
		slices.Reverse(list) // so that no contender always follows the same one
	}
	if w.opts.rounds%2 == 1 {
		slices.Reverse(list)
	}
	if err := sameWork(written); err != nil {
		return err
	}
	report(out, list, all)
	return nil
}

func (w *world) turn(ctx context.Context, c contender, written map[string]map[string]float64) (s score, err error) {
	err = w.cloned(ctx, c.template, func(database string) error {
		t := &turn{world: w, name: c.name, database: database}
		if s, err = c.play(ctx, t); err != nil || c.template != runsTemplate || s.hot > 0 {
			return err
		}
		written[c.name], err = t.rowsPerRun(ctx)
		return err
	})
	return s, err
}

// sameWork returns an error unless all contenders with two steps a run have written the same
// number of rows of each table for a run, and so have all with three.
func sameWork(written map[string]map[string]float64) error {
	for steps, reference := range map[bool]string{false: sameRows, true: threeSteps} {
		var want map[string]float64
		for name := range written {
			if strings.HasPrefix(name, reference+",") {
				want = written[name]
			}
		}
		for name, got := range written {
			if want == nil || strings.Contains(name, "three") != steps {
				continue
			}
			for table := range maps.Keys(want) {
				if math.Abs(got[table]-want[table]) > 0.001 {
					return fmt.Errorf("%s wrote %.3f rows of %s a run, %s %.3f", name, got[table], table, reference, want[table])
				}
			}
		}
	}
	return nil
}

// fileName returns name with only the characters that need no quotes in a shell.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == ',' || r == '/' {
			return -1
		}
		if r == ' ' {
			return '-'
		}
		return r
	}, name)
}
