package run

import (
	"maps"
	"math"
	"slices"
	"time"
)

// durationGrowth is the ratio of the ends of two neighbouring buckets of [Durations]. The
// view run_measure computes with the same number. The middle of a bucket differs by at
// most 9.6 % from every duration in it.
const durationGrowth = 1.2

// Durations counts durations by bucket. Bucket b has those of more than 1.2^(b-1) and at
// most 1.2^b microseconds. Two of them are joined by adding their buckets.
type Durations map[int]int64

// Count returns the number of durations.
func (d Durations) Count() int64 {
	var n int64
	for _, c := range d {
		n += c
	}
	return n
}

// Quantile returns the duration that the share q of all durations does not exceed, for
// example the median for 0.5, with an error of at most 10 %. It returns 0 if there are none.
func (d Durations) Quantile(q float64) time.Duration {
	rank := max(int64(math.Ceil(q*float64(d.Count()))), 1)
	for _, bucket := range slices.Sorted(maps.Keys(d)) {
		if rank -= d[bucket]; rank <= 0 {
			return middle(bucket)
		}
	}
	return 0
}

// middle returns the geometric mean of the ends of a bucket.
func middle(bucket int) time.Duration {
	if bucket <= 0 {
		return time.Microsecond
	}
	return time.Duration(math.Pow(durationGrowth, float64(bucket)-0.5) * float64(time.Microsecond))
}
