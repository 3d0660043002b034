package store

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tenantpilot/tenantpilot/services/operations/internal/run"
)

// examined is how many runs a page reads at most in search of runs that meet the
// conditions its index does not know.
const examined = 5000

// These settings make the planner read indexes in order, so that the cost of a page has
// a bound. Reading all runs that match and sorting them would be cheaper if they are few,
// but the planner often guesses their number wrong.
const walkIndexesSQL = `-- store.walkIndexes
	select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
		set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`

// walk is how a list reads an index in order.
type walk struct {
	label   bool     // the index is the one of labels b, else one of runs r
	at, id  string   // the columns of the order
	ranges  []string // conditions in SQL; what they select is merged
	unusual string   // the unusual runs among those it reads; "" if it does not read all runs
}

// statement returns the list in SQL, and its parameters:
//
//	walk an index in order ──► candidates: id, time, does it match?  (at most n)
//	                       ──► runs that match, and the last candidate (where to go on)
//
// "offset 0" keeps the planner from joining a lookup by key in another way, such as
// reading a whole table and sorting it.
func (l List) statement() (string, []any) {
	q := &query{args: []any{l.WorkspaceID}}
	w, rest := l.walkFor(conditions(q, l.Filter))
	bounds := l.bounds(q, w, &rest)
	if w.unusual != "" {
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

// walkFor returns the index to read for the conditions cs of l, and the conditions that
// this index does not know. If several conditions have an index, it takes the first,
// which has the fewest runs.
func (l List) walkFor(cs []condition) (walk, []string) {
	w := walk{at: momentColumn[l.Order.By], id: "r.id"}
	i := slices.IndexFunc(cs, func(c condition) bool { return c.index != nil })
	known := i
	switch {
	case l.Order.By == run.CompleteTime:
		w.ranges, w.unusual, known = []string{isCompleted}, isCompleted+" and "+isUnusual, -1
	case i < 0:
		w.ranges, w.unusual = []string{isCompleted}, isUnusual
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

// bounds returns in SQL where in its order w begins and ends. It adds the bounds of other
// times to rest. "At t" becomes "between t and t": with "= t" the planner would not use
// the order of the index, and would sort.
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

// candidates returns SQL for the first n runs of w in order, each with whether it matches.
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

// ascending reports whether the walk goes up. That is also so for a page that is read
// backwards from a list that goes down.
func (l List) ascending() bool { return l.Order.Ascending != l.back() }

func (l List) orderBy(at, id string) string {
	if l.ascending() {
		return "order by " + at + ", " + id
	}
	return "order by " + at + " desc, " + id + " desc"
}
