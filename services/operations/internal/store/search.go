package store

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// examined is how many runs of an index a page looks at, at most, for those that
// meet the conditions the index does not know.
const examined = 5000

// What a page costs is known when its indexes are read in order; reading all that
// matches and sorting it is cheaper only where the planner guesses right how much that is.
const walkIndexesSQL = `-- store.walkIndexes
	select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
		set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`

// walk is an index read in order.
type walk struct {
	label  bool     // it is the index of labels b, else one of runs r
	at, id string   // what it is ordered by
	ranges []string // what it is read for, merged
	others string   // if it reads all runs there are: the unusual ones among them
}

// statement is the list as SQL: a walk that ends after so many candidates, of
// which only place and match are carried along, then the runs that match.
// An offset of nothing keeps a lookup by key what it is: else the planner might
// read the whole of the other side at once, and sort what comes out.
func (l List) statement() (string, []any) {
	q := &query{args: []any{l.WorkspaceID}}
	w, rest := l.walkFor(conditions(q, l.Filter))
	bounds := l.bounds(q, w, &rest)
	if w.others != "" {
		w.keepTo(q, windowOf(l.Order.By, l.Filter.Bounds))
	}
	limit, columns := examined, basicColumns
	if len(rest) == 0 {
		limit = l.Size + 1
	}
	if l.Full {
		columns = runColumns
	}
	n, order := strconv.Itoa(limit), l.orderBy("c.at", "c.key")
	return "-- store.listRuns\n" +
		"select c.at, c.matches, c.rank = " + n + "," + columns +
		" from (select c.*, row_number() over (" + order + ") as rank from (" + l.candidates(w, bounds, all(rest), n) + ") c) c" +
		" cross join lateral (select * from operation_runs r where r.id = c.key offset 0) r" +
		" left join lateral (select * from run_lease l where l.run_id = r.id and r.status = 'running' offset 0) l on true" +
		" where c.matches or c.rank = " + n + " " + order + " limit " + strconv.Itoa(l.Size+1), q.args
}

// walkFor answers the index to read for the conditions cs of l, and what it
// leaves to be looked at. The first of several indexes is taken: it has fewest runs.
func (l List) walkFor(cs []condition) (walk, []string) {
	w := walk{at: momentColumn[l.Order.By], id: "r.id"}
	i := slices.IndexFunc(cs, func(c condition) bool { return c.index != nil })
	known := i
	switch {
	case l.Order.By == run.CompleteTime:
		w.ranges, w.others, known = []string{isCompleted}, isCompleted+" and "+isUnusual, -1
	case i < 0:
		w.ranges, w.others = []string{isCompleted}, isUnusual
		if !l.Filter.Ended() {
			w.ranges = append(w.ranges, isQueued, isRunning)
		}
	case cs[i].label:
		w = walk{label: true, at: "b.created_at", id: "b.run_id", ranges: cs[i].index}
	case cs[i].ended && !l.Filter.Ended():
		w.ranges, known = []string{cs[i].index[0], isQueued, isRunning}, -1
	default:
		w.ranges = cs[i].index
	}
	var rest []string
	for j, c := range cs {
		if j != known {
			rest = append(rest, c.holds)
		}
	}
	return w, rest
}

// bounds answers where in its order w begins and ends; bounds of other moments
// go to the rest. A moment is never said to be equal: the planner would take it
// out of the order, and sort.
func (l List) bounds(q *query, w walk, rest *[]string) string {
	var bounds []string
	for _, b := range l.Filter.Bounds {
		switch {
		case b.Moment != l.Order.By:
			*rest = append(*rest, within(q, momentColumn[b.Moment], b))
		case b.Comparison == run.At:
			at := q.arg(b.At)
			bounds = append(bounds, w.at+" between "+at+" and "+at)
		default:
			bounds = append(bounds, within(q, w.at, b))
		}
	}
	if l.From != nil {
		op := "<"
		if l.ascending() {
			op = ">"
		}
		if l.From.Inclusive {
			op += "="
		}
		bounds = append(bounds, "("+w.at+", "+w.id+") "+op+" ("+q.arg(l.From.At)+", "+q.arg(l.From.ID)+")")
	}
	return all(bounds)
}

// candidates are the first n runs of w in order, each with whether it matches.
func (l List) candidates(w walk, bounds, matches, n string) string {
	matches = "coalesce(" + matches + ", false) as matches"
	pick := "select " + w.at + " as at, r.id as key, " + matches + " from operation_runs r where r.workspace_id = $1 and "
	if w.label {
		pick = "select b.created_at as at, b.run_id as key from run_label b where b.workspace_id = $1 and "
	}
	var ranges []string
	for _, r := range w.ranges {
		ranges = append(ranges, pick+bounds+" and "+r+" "+l.orderBy(w.at, w.id)+" limit "+n)
	}
	switch {
	case w.label:
		return "select b.at, b.key, r.matches from (" + ranges[0] + ") b" +
			" cross join lateral (select " + matches + " from operation_runs r where r.id = b.key offset 0) r"
	case len(ranges) == 1:
		return ranges[0]
	default:
		return "select * from ((" + strings.Join(ranges, ") union all (") + ")) c " + l.orderBy("c.at", "c.key") + " limit " + n
	}
}

// ascending reports whether the walk goes up, which a page that is read back
// from a list that goes down does, too.
func (l List) ascending() bool { return l.Order.Ascending != l.back() }

func (l List) orderBy(at, id string) string {
	if l.ascending() {
		return "order by " + at + ", " + id
	}
	return "order by " + at + " desc, " + id + " desc"
}
