package web

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Limiter limits how often each of many callers may make a request. Each caller
// has a bucket of tokens: a request takes one, and they come back at a steady rate.
type Limiter struct {
	rate  rate.Limit
	burst int
	now   func() time.Time

	buckets *lru.Cache[string, *rate.Limiter] // by caller
}

// maxBuckets bounds the memory spent on callers. The caller who has been silent for
// longest is forgotten first: its bucket is the likeliest to be full again anyway.
const maxBuckets = 10_000

// NewLimiter returns a limiter that lets each caller make burst requests at once,
// and perSecond requests per second for long.
func NewLimiter(perSecond float64, burst int, now func() time.Time) *Limiter {
	buckets, _ := lru.New[string, *rate.Limiter](maxBuckets) // fails for a size below one only
	return &Limiter{rate: rate.Limit(perSecond), burst: burst, now: now, buckets: buckets}
}

func (l *Limiter) bucket(caller string) *rate.Limiter {
	if bucket, ok := l.buckets.Get(caller); ok {
		return bucket
	}
	fresh := rate.NewLimiter(l.rate, l.burst)
	if bucket, ok, _ := l.buckets.PeekOrAdd(caller, fresh); ok {
		return bucket // another request of the same caller came first
	}
	return fresh
}

// Take takes a token out of caller's bucket. If there is none, its error says when
// there is one again.
func (l *Limiter) Take(caller string) error {
	now := l.now()
	if l.bucket(caller).AllowN(now, 1) {
		return nil
	}
	return l.refusal()
}

// spent returns the error of [Limiter.Take] if caller's bucket is empty, and takes nothing.
func (l *Limiter) spent(caller string) error {
	if l.bucket(caller).TokensAt(l.now()) >= 1 {
		return nil
	}
	return l.refusal()
}

func (l *Limiter) refusal() error {
	wait := time.Duration(float64(time.Second) / float64(l.rate))
	return errs.Exhausted("RATE_LIMITED", max(wait, time.Second), "too many requests; slow down")
}
