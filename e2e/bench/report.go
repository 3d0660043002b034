package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	goal  = 250 * time.Millisecond // p99 of changes that are sent at once
	apart = 250 * time.Millisecond // a change this soon after another one of its run may be coalesced
)

// coalesced is a kind of change. All other changes are sent at once.
const coalesced = "coalesced"

// result is the result of one round.
type result struct {
	warm time.Time // changes before this do not count
	load float64
	note string
	most int64 // pages that were open at once

	expected, received, disorder, frames int
	lags                                 map[string][]time.Duration
	spent                                map[string]usage
}

// compare compares what the watchers saw with what the worker did.
func (r *result) compare(runs []*run, views []view, events map[int64]happened) {
	r.lags = map[string][]time.Duration{}
	byID := map[int64]*run{}
	for _, done := range runs {
		byID[done.id] = done
	}
	for _, v := range views {
		r.frames += len(v.seen)
		if v.page {
			r.follow("run pages", byID[v.run], v.from, v.seen, events[v.run])
			continue
		}
		seen := map[int64][]sighting{}
		for _, s := range v.seen {
			seen[s.run] = append(seen[s.run], s)
		}
		for id, done := range byID {
			r.follow("workspace streams", done, v.from, seen[id], events[id])
		}
	}
	for _, lags := range r.lags {
		slices.Sort(lags)
	}
}

// follow checks the sightings of one run in one stream, which began in state from.
func (r *result) follow(where string, done *run, from int, seen []sighting, events happened) {
	last := len(done.acked) - 1
	r.expected += last - from
	for _, s := range seen {
		if s.state < from {
			r.disorder++
		}
		for ; from < s.state; from++ {
			r.received++
			r.arrived(where, done, from+1, s.at, events)
		}
	}
}

// arrived records when a state was seen, or a later one instead of it.
func (r *result) arrived(where string, done *run, state int, at time.Time, events happened) {
	if done.asked[state].Before(r.warm) {
		return
	}
	kind := "at once"
	if state > 0 && done.asked[state].Sub(done.acked[state-1]) < apart {
		kind = coalesced
	}
	r.add(where+", "+kind, at.Sub(done.acked[state]))
	switch {
	case kind == coalesced:
	case state == 0:
		r.add(where+", from event time", at.Sub(events.started))
	case state == len(done.acked)-1:
		r.add(where+", from event time", at.Sub(events.ended))
	}
}

// add records a time. It is 0 if the watcher saw the change before the worker's call returned.
func (r *result) add(what string, took time.Duration) {
	r.lags[what] = append(r.lags[what], max(took, 0))
}

// at returns the quantile p of lags, which are sorted.
func at(lags []time.Duration, p float64) time.Duration {
	return lags[min(int(p*float64(len(lags))), len(lags)-1)].Round(100 * time.Microsecond)
}

func (r *result) print(out io.Writer, number int) {
	fmt.Fprintf(out, "round %d (load %.2f): %d of %d changes seen, %d out of order, in %d frames; %d pages open at once\n",
		number, r.load, r.received, r.expected, r.disorder, r.frames, r.most)
	for _, what := range slices.Sorted(maps.Keys(r.lags)) {
		lags := r.lags[what]
		fmt.Fprintf(out, "  %-34s p50 %8s  p99 %8s  max %8s  of %d\n", what, at(lags, 0.5), at(lags, 0.99), at(lags, 1), len(lags))
	}
	for _, name := range slices.Sorted(maps.Keys(r.spent)) {
		u := r.spent[name]
		fmt.Fprintf(out, "  %-20s %.2f cores", name, u.cpu)
		if u.resident > 0 {
			fmt.Fprintf(out, ", %.0f MiB, %.0f goroutines", u.resident/(1<<20), u.goroutines)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "  what is told at once, p99 ≤ %s: %s\n", goal, r.verdict())
	if r.note != "" {
		fmt.Fprintln(out, "  "+r.note)
	}
}

func (r *result) verdict() string {
	for what, lags := range r.lags {
		if !strings.HasSuffix(what, coalesced) && at(lags, 0.99) > goal {
			return "MISSED"
		}
	}
	return "reached"
}

// complete returns an error unless all watchers saw all changes in order.
func (r *result) complete() error {
	if r.received != r.expected || r.disorder > 0 {
		return fmt.Errorf("%d of %d changes seen, %d out of order", r.received, r.expected, r.disorder)
	}
	return nil
}
