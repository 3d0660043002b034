package run

import (
	"maps"
	"math"
	"slices"
	"time"
)

// durationGrowth is how much longer each bucket of [Durations] reaches than the
// one before it; the view run_measure computes with the same number. The middle
// of a bucket is at most 9.6 % from everything in it.
const durationGrowth = 1.2

// Durations counts durations by bucket: bucket b holds those of more than
// 1.2^(b-1) and at most 1.2^b microseconds. Sums of two are their union.
type Durations map[int]int64

// Count answers how many durations there are.
func (d Durations) Count() int64 {
	var n int64
	for _, c := range d {
		n += c
	}
	return n
}

// Quantile answers what the share q of the durations does not exceed, to within
// 10 %; zero if there are none.
func (d Durations) Quantile(q float64) time.Duration {
	rank := max(int64(math.Ceil(q*float64(d.Count()))), 1)
	for _, bucket := range slices.Sorted(maps.Keys(d)) {
		if rank -= d[bucket]; rank <= 0 {
			return middle(bucket)
		}
	}
	return 0
}

// middle answers the geometric middle of a bucket.
func middle(bucket int) time.Duration {
	if bucket <= 0 {
		return time.Microsecond
	}
	return time.Duration(math.Pow(durationGrowth, float64(bucket)-0.5) * float64(time.Microsecond))
}
