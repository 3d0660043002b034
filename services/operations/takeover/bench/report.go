package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func header(out io.Writer) {
	fmt.Fprintf(out, "\n%-42s %8s %8s %10s   %s\n", "", "rows/s", "seconds", "WAL B/row", "CPU µs a row: PostgreSQL + tool, or who copies")
}

// line returns the line of one turn.
func line(name string, s score) string {
	perRow := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(s.rows) }
	text := fmt.Sprintf("%-42s %8.0f %8.1f %10.0f   %.1f + %.1f", name, s.rate(), s.elapsed.Seconds(), float64(s.wal)/float64(s.rows),
		perRow(s.postgres), perRow(s.client))
	if s.memory > 0 {
		text += ", tool at most " + mebibytes(s.memory)
	}
	if len(s.took) > 0 {
		var steps []string
		for _, name := range slices.Sorted(maps.Keys(s.took)) {
			steps = append(steps, fmt.Sprintf("%s %.1f s", name, s.took[name].Seconds()))
		}
		text += " (" + strings.Join(steps, ", ") + ")"
	}
	return fmt.Sprintf("%s, load %.1f to %.1f", text, s.load, s.loadAfter)
}

// goal is how many times as long as the peer the tool may take.
type goal struct {
	of, against string
	limit       float64
}

var goals = []goal{{toolOnOne, peerOnOne, 2}, {toolAcross, peerAcross, 2.5}}

func report(out io.Writer, all results) {
	fmt.Fprintln(out)
	if v := all.verify; v != nil {
		fmt.Fprintf(out, "%-42s %8.0f %8.1f   %d runs, tool at most %s\n", "verify --all", float64(v.rows)/v.elapsed.Seconds(), v.elapsed.Seconds(),
			v.rows, mebibytes(v.memory))
	}
	for _, g := range goals {
		g.print(out, all)
	}
	for _, turns := range all.turns {
		fmt.Fprintf(out, "audit: every row is linked, and all %d turns left the same rows in %d tables; %d runs were imported each time\n",
			count(all), len(turns[0].left.digests), turns[0].left.imported)
		return // sameRows has found the others equal
	}
}

func count(all results) (n int) {
	for _, turns := range all.turns {
		n += len(turns)
	}
	return n
}

// ratios returns tool / peer for each round.
func (g goal) ratios(all results) (list []float64) {
	for i, s := range all.turns[g.of] {
		if i < len(all.turns[g.against]) {
			list = append(list, s.elapsed.Seconds()/all.turns[g.against][i].elapsed.Seconds())
		}
	}
	slices.Sort(list)
	return list
}

func (g goal) print(out io.Writer, all results) {
	list := g.ratios(all)
	if len(list) == 0 {
		return // not measured in this run
	}
	n := len(list)
	median := (list[(n-1)/2] + list[n/2]) / 2
	verdict := "reached"
	if median > g.limit {
		verdict = "MISSED"
	}
	fmt.Fprintf(out, "%-60s %.2f (%.2f to %.2f)  goal ≤ %g: %s\n", g.of+" / "+g.against, median, list[0], list[n-1], g.limit, verdict)
}
