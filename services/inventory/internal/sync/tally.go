package sync

import (
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/work"
	"github.com/tenantpilot/tenantpilot/services/inventory/internal/item"
)

// tally is what a run has come to so far: the counters people watch, and in the
// end its result. Types are read side by side, so it is safe for concurrent use.
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

// expect takes what was listed before for how much there is.
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

// end takes the type's read as the run's last word on it.
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

// throttled counts the time until until, once where waits overlap.
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

// counts are the run's counters. How many objects there are in all is known
// only of types that were read before; until then the total is left out, since a
// bar that is always full tells less than none.
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

// notBegun is how many objects are expected of types nobody has begun to read;
// false if that is unknown of one.
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

// result is how the run ends. It failed only if nothing at all was read.
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
