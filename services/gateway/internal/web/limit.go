package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// buckets limits how often each of many callers may ask.
type buckets struct {
	rate  rate.Limit
	burst int
	now   func() time.Time

	mu sync.Mutex
	of map[string]*rate.Limiter
}

// maxBuckets bounds the memory spent on callers. Forgetting one gives it a full
// bucket again, which a flood of callers costs us anyway.
const maxBuckets = 10_000

func newBuckets(perSecond float64, burst int, now func() time.Time) *buckets {
	return &buckets{rate: rate.Limit(perSecond), burst: burst, now: now, of: map[string]*rate.Limiter{}}
}

func (b *buckets) bucket(caller string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.of[caller]
	if !ok {
		if len(b.of) >= maxBuckets {
			clear(b.of)
		}
		l = rate.NewLimiter(b.rate, b.burst)
		b.of[caller] = l
	}
	return l
}

// take spends one of caller's tokens, or says when there is one again.
func (b *buckets) take(caller string) error {
	now := b.now()
	if b.bucket(caller).AllowN(now, 1) {
		return nil
	}
	return b.refusal()
}

// spent says whether caller's bucket is empty, without taking anything.
func (b *buckets) spent(caller string) error {
	if b.bucket(caller).TokensAt(b.now()) >= 1 {
		return nil
	}
	return b.refusal()
}

func (b *buckets) refusal() error {
	wait := time.Duration(float64(time.Second) / float64(b.rate))
	return errs.Exhausted("RATE_LIMITED", max(wait, time.Second), "too many requests; slow down")
}
