package sync

import (
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// tally adds up what a run has done so far: the counters that people watch, and in
// the end its result. It is safe for concurrent use, since types are read at the
// same time.
type tally struct {
	report func(map[string]int64)
	types  int // selected
	now    func() time.Time

	mu       sync.Mutex
	expected map[string]int64 // objects per type, as far as anybody knows
	open     map[string]item.Counts
	done     map[string]item.Coverage
	requests int64
	failures failures
	waited   time.Duration // for Graph's throttling
	waitEnd  time.Time
}

func newTally(report func(map[string]int64), types int, now func() time.Time) *tally {
	return &tally{
		report: report, types: types, now: now,
		expected: map[string]int64{}, open: map[string]item.Counts{}, done: map[string]item.Coverage{},
	}
}

// expect takes the numbers of objects in earlier reads as those to expect.
func (t *tally) expect(latest []item.Coverage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range latest {
		if c.Complete {
			t.expected[c.Type] = c.Listed
		}
	}
}

// set replaces the counts of a type that is being read.
func (t *tally) set(typ string, c item.Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[typ] = c
	t.report(t.counts())
}

// end takes a read as the final one of its type in this run.
func (t *tally) end(c item.Coverage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c.Type)
	t.done[c.Type] = c
	t.report(t.counts())
}

func (t *tally) ended(typ string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.done[typ]
	return ok
}

func (t *tally) sent(requests int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests += int64(requests)
}

func (t *tally) fail(list failures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures.addAll(list)
}

// throttled adds the time until until to the time waited. Where two waits overlap,
// the time counts once.
func (t *tally) throttled(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := t.now()
	if t.waitEnd.After(from) {
		from = t.waitEnd
	}
	if until.After(from) {
		t.waited += until.Sub(from)
		t.waitEnd = until
	}
	t.report(t.counts())
}

// counts returns the run's counters. The total number of objects is only known if
// every type was read before. Otherwise it is left out: a progress bar that is
// always full is worse than none.
func (t *tally) counts() map[string]int64 {
	var sum item.Counts
	total, known := int64(0), true
	for _, c := range t.done {
		sum.Add(c.Counts)
		total += c.Listed
	}
	for typ, c := range t.open {
		sum.Add(c)
		expected, ok := t.expected[typ]
		total, known = total+max(expected, c.Listed), known && ok
	}
	counts := map[string]int64{
		"processed": sum.Read + sum.Failed,
		"created":   sum.Created, "updated": sum.Updated, "unchanged": sum.Unchanged,
		"removed": sum.Removed, "failed": sum.Failed,
		"types_total": int64(t.types), "types_done": int64(len(t.done)),
		"requests": t.requests, "throttled_seconds": int64(t.waited.Seconds()),
	}
	if waiting, ok := t.notBegun(); known && ok {
		counts["total"] = total + waiting
	}
	return counts
}

// notBegun returns how many objects are expected of the types that are not begun
// yet, and false if that is not known for one of them.
func (t *tally) notBegun() (int64, bool) {
	n, left := int64(0), t.types-len(t.done)-len(t.open)
	for typ, expected := range t.expected {
		_, done := t.done[typ]
		_, open := t.open[typ]
		if !done && !open {
			n, left = n+expected, left-1
		}
	}
	return n, left == 0
}

// result returns how the run ends. It is a failure only if nothing at all was read.
func (t *tally) result() work.Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := work.Result{Outcome: failed, Counts: t.counts(), Failures: t.failures.list()}
	complete, read := 0, int64(0)
	for _, c := range t.done {
		read += c.Counts.Read
		if c.Complete {
			complete++
		}
	}
	switch {
	case complete == t.types:
		r.Outcome = succeeded
	case complete > 0 || read > 0:
		r.Outcome = partially
	}
	return r
}
