package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scores are the scores of each contender, one for each round.
type scores map[string][]score

func report(out io.Writer, list []contender, all scores) {
	fmt.Fprintf(out, "\nmedians of the rounds; CPU in microseconds a run (service + PostgreSQL + client)\n%-40s %9s %9s %9s %9s %8s  %s\n",
		"", "runs/s", "p50 ms", "p99 ms", "commits", "WAL B", "CPU")
	for _, c := range list {
		fmt.Fprintln(out, line(c.name, all[c.name]))
	}
	fmt.Fprintln(out)
	for _, g := range goals() {
		g.print(out, all)
	}
}

// line returns the line of one contender: its medians.
func line(name string, of []score) string {
	middle := func(f func(score) float64) float64 { return spread(of, f).median }
	perRun := func(f func(score) time.Duration) float64 {
		return middle(func(s score) float64 { return float64(f(s).Microseconds()) / float64(max(s.runs, 1)) })
	}
	text := fmt.Sprintf("%-40s %9.0f %9.2f %9.2f %9.3f %8.0f  %.0f + %.0f + %.0f", name,
		middle(score.rate), middle(p50), middle(p99),
		middle(func(s score) float64 { return float64(s.commits) / float64(max(s.runs, 1)) }),
		middle(func(s score) float64 { return float64(s.wal) / float64(max(s.runs, 1)) }),
		perRun(func(s score) time.Duration { return s.service }), perRun(func(s score) time.Duration { return s.postgres }),
		perRun(func(s score) time.Duration { return s.client }))
	if hot := middle(func(s score) float64 { return s.hot }); hot > 0 {
		text += fmt.Sprintf("   %.1f %% HOT", 100*hot)
	}
	return text
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func p50(s score) float64            { return millis(s.at(0.50)) }
func p99(s score) float64            { return millis(s.at(0.99)) }

// spreading is a number over all rounds.
type spreading struct{ least, median, most float64 }

func spread[T any](of []T, f func(T) float64) spreading {
	var values []float64
	for _, one := range of {
		values = append(values, f(one))
	}
	slices.Sort(values)
	n := len(values)
	return spreading{values[0], (values[(n-1)/2] + values[n/2]) / 2, values[n-1]}
}

// goal is a promise of the design: a number of one contender, or its ratio to the best of
// others in the same round.
type goal struct {
	of      string
	against string // how the names of the others begin; "" for an absolute number
	value   func(score) float64
	unit    string
	limit   float64
	least   bool // the limit is a minimum, else a maximum
}

func goals() []goal {
	rate := score.rate
	cpu := func(s score) float64 {
		return float64((s.service + s.postgres + s.client).Microseconds()) / float64(max(s.runs, 1))
	}
	hot := func(s score) float64 { return 100 * s.hot }
	return []goal{
		{"service, unary, 64 callers", sameRows + ", 64", rate, "", 1.25, true},
		{"service, unary, 64 callers", sameRows, rate, "", 0, true},
		{"service, unary, 64 callers", bareRow, rate, "", 0, true},
		{"service, unary, 256 callers", sameRows, rate, "", 1.6, true},
		{"service, batches of 100, 1 caller", sameRows, rate, "", 0, true},
		{"service, batches of 100, 8 callers", sameRows, rate, "", 3, true},
		{"service, unary, three calls, 64 callers", threeSteps + ", 64", rate, "", 1.25, true},
		{"service, unary, three calls, 64 callers", threeSteps, rate, "", 0, true},
		{"service, unary, 64 callers", "River", rate, "", 2.5, true},
		{"service, unary, 64 callers", "ungrouped, 64", rate, "", 0, true},
		{"service, unary, 1 caller", "ungrouped, 1 ", p50, "p50", 1.1, false},
		{"service, batched, 64 goroutines", bareRow, rate, "", 1.0, true},
		{"service, batched, 64 goroutines", "River", rate, "", 6, true},
		{"service, batched, 64 goroutines", "service, unary, 64 ", cpu, "CPU", 0.6, false},
		{"service, batched, 1 goroutine", "service, unary, 1 ", p50, "p50", 1.05, false},
		{"200/s", "", p99, "ms, p99", 25, false},
		{withBeats, "", p99, "ms, p99", 25, false},
		{withBeats, "", hot, "% HOT", 95, true},
		{withWatchers, "", p99, "ms, p99", 250, false},
	}
}

func (g goal) print(out io.Writer, all scores) {
	rounds, ok := g.rounds(all)
	if !ok {
		return // not measured in this run
	}
	got := spread(rounds, func(v float64) float64 { return v })
	what := g.of
	if g.against != "" {
		what += " / best of " + strconv.Quote(g.against)
	}
	fmt.Fprintf(out, "%-76s %8.2f %-8s (%.2f to %.2f)  %s\n", what, got.median, g.unit, got.least, got.most, g.verdict(got.median))
}

func (g goal) verdict(got float64) string {
	switch {
	case g.limit == 0:
		return "no goal"
	case g.least && got >= g.limit:
		return fmt.Sprintf("goal ≥ %g: reached", g.limit)
	case g.least:
		return fmt.Sprintf("goal ≥ %g: MISSED", g.limit)
	case got <= g.limit:
		return fmt.Sprintf("goal ≤ %g: reached", g.limit)
	}
	return fmt.Sprintf("goal ≤ %g: MISSED", g.limit)
}

// rounds returns the number in each round.
func (g goal) rounds(all scores) (values []float64, ok bool) {
	for i, s := range all[g.of] {
		value := g.value(s)
		if g.against != "" {
			peer, found := best(all, g.against, i, g.value, g.least)
			if !found {
				return nil, false
			}
			value /= peer
		}
		values = append(values, value)
	}
	return values, len(values) > 0
}

// best returns the highest (or lowest) value of one round among the contenders whose names
// have a prefix.
func best(all scores, prefix string, round int, value func(score) float64, highest bool) (float64, bool) {
	var values []float64
	for name, of := range all {
		if strings.HasPrefix(name, prefix) {
			values = append(values, value(of[round]))
		}
	}
	slices.SortFunc(values, func(a, b float64) int { return cmp.Compare(b, a) })
	if len(values) == 0 {
		return 0, false
	}
	if highest {
		return values[0], true
	}
	return values[len(values)-1], true
}

// numbers reads a list such as "10000,1000000".
func numbers(list string) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
