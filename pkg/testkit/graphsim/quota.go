package graphsim

import (
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
)

// limit is so many requests in so many seconds, of one application or of all
// applications of a tenant together.
type limit struct {
	perTenant bool
	writes    bool // counts writes only
	requests  float64
	seconds   float64
}

var intuneLimits = []limit{
	{requests: 1000, seconds: 20},
	{requests: 100, seconds: 20, writes: true},
	{requests: 2000, seconds: 20, perTenant: true},
	{requests: 200, seconds: 20, perTenant: true, writes: true},
}

// The directory counts resource units; everything served here costs one. The
// number is that of a small tenant.
var directoryLimits = []limit{
	{requests: 3500, seconds: 10},
	{requests: 3000, seconds: 150, writes: true},
	{requests: 18000, seconds: 300, perTenant: true, writes: true},
}

// Conditional Access gives a tenant one request a second and does not say when
// to come back.
var conditionalAccessLimits = []limit{{requests: 1, seconds: 1, perTenant: true}}

func limitsOf(k *kind.Kind) []limit {
	switch {
	case k.Workload == catalog.WorkloadConditionalAccess:
		return conditionalAccessLimits
	case k.Entra:
		return directoryLimits
	}
	return intuneLimits
}

// quotas are the published limits as token buckets per tenant or application
// and workload.
type quotas struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket
}

type bucketKey struct {
	tenant, app, workload string
	writes                bool
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newQuotas() *quotas { return &quotas{buckets: map[bucketKey]*bucket{}} }

// allow charges a call to every bucket it falls into. A refused call is charged
// too: hammering keeps a client throttled.
func (q *quotas) allow(c *call, k *kind.Kind) (retryAfter int, ok bool) {
	if q == nil {
		return 0, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	ok = true
	for _, l := range limitsOf(k) {
		if l.writes && c.method == http.MethodGet {
			continue
		}
		key := bucketKey{tenant: c.tenant.id, app: c.app, workload: k.Workload, writes: l.writes}
		if l.perTenant {
			key.app = ""
		}
		if wait := q.charge(key, l, c.at); wait > 0 {
			ok = false
			retryAfter = max(retryAfter, wait)
		}
	}
	if k.Workload == catalog.WorkloadConditionalAccess {
		retryAfter = 0
	}
	return retryAfter, ok
}

// charge takes a token and returns the seconds to wait where there was none.
func (q *quotas) charge(key bucketKey, l limit, at time.Time) int {
	b := q.buckets[key]
	if b == nil {
		b = &bucket{tokens: l.requests, at: at}
		q.buckets[key] = b
	}
	rate := l.requests / l.seconds
	b.tokens = min(l.requests, b.tokens+at.Sub(b.at).Seconds()*rate)
	b.at = at
	had := b.tokens
	b.tokens = max(had-1, -l.requests)
	if had >= 1 {
		return 0
	}
	return int(math.Ceil((1 - b.tokens) / rate))
}
