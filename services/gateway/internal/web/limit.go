package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Limiter limits how often each of many callers may make a request. Each caller
// has a bucket of tokens: a request takes one, and they come back at a steady rate.
type Limiter struct {
	rate  rate.Limit
	burst int
	now   func() time.Time

	mu sync.Mutex
	of map[string]*rate.Limiter
}

// maxBuckets bounds the memory spent on callers. Forgetting one gives it a full
// bucket again, which a flood of callers costs us anyway.
const maxBuckets = 10_000

// NewLimiter returns a limiter that lets each caller make burst requests at once,
// and perSecond requests per second for long.
func NewLimiter(perSecond float64, burst int, now func() time.Time) *Limiter {
	return &Limiter{rate: rate.Limit(perSecond), burst: burst, now: now, of: map[string]*rate.Limiter{}}
}

func (l *Limiter) bucket(caller string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.of[caller]
	if !ok {
		if len(l.of) >= maxBuckets {
			clear(l.of)
		}
		bucket = rate.NewLimiter(l.rate, l.burst)
		l.of[caller] = bucket
	}
	return bucket
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
