package graph

import (
	"context"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// Limit allows at most Requests in any window of length Per. The zero value
// allows any number.
type Limit struct {
	Requests int
	Per      time.Duration
}

// Quota is what one workload allows one tenant. Every request counts against Any;
// a write counts against Write too.
type Quota struct {
	Any, Write Limit
}

// Limits are Microsoft's quotas. Microsoft changes them without notice. Throttled
// calls count too, so it is cheaper to stay below a limit than to reach it.
type Limits struct {
	Other     Quota            // for workloads not named
	Workloads map[string]Quota // by [catalog.Type.Workload]
}

// workloadOther names the quota of every workload without one of its own.
const workloadOther = "other"

// DefaultLimits are the published numbers, per application and tenant.
func DefaultLimits() Limits {
	intune := Quota{
		Any:   Limit{Requests: 1000, Per: 20 * time.Second},
		Write: Limit{Requests: 100, Per: 20 * time.Second},
	}
	return Limits{
		Other: intune,
		Workloads: map[string]Quota{
			catalog.WorkloadDeviceConfig:   intune,
			catalog.WorkloadDeviceConfigV2: intune,
			catalog.WorkloadApplications:   intune,
			catalog.WorkloadRBAC:           intune,
			catalog.WorkloadIdentity: {
				Any:   Limit{Requests: 3500, Per: 10 * time.Second}, // a small tenant's resource units
				Write: Limit{Requests: 3000, Per: 150 * time.Second},
			},
			// This quota is for all applications of a tenant together.
			catalog.WorkloadConditionalAccess: {Any: Limit{Requests: 1, Per: time.Second}},
		},
	}
}

// Unlimited returns no limits at all, for benchmarks against a simulator without
// quotas.
func Unlimited() Limits { return Limits{} }

func (l Limits) buckets() map[string]*bucket {
	workloads := maps.Clone(l.Workloads)
	if workloads == nil {
		workloads = make(map[string]Quota)
	}
	workloads[workloadOther] = l.Other
	buckets := make(map[string]*bucket, len(workloads))
	for name, q := range workloads {
		buckets[name] = &bucket{any: q.Any.limiter(), write: q.Write.limiter()}
	}
	return buckets
}

// limiter allows a fifth of the requests of a window at once and spreads the
// rest, so that no window of that length holds more than the limit, wherever it
// begins.
func (l Limit) limiter() *rate.Limiter {
	if l.Requests <= 0 || l.Per <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	burst := max(1, l.Requests/5)
	return rate.NewLimiter(rate.Limit(float64(l.Requests-burst+1)/l.Per.Seconds()), burst)
}

// bucket is one workload's quota for one tenant.
type bucket struct {
	any, write *rate.Limiter

	mu      sync.Mutex
	blocked time.Time // Graph asked for silence until then
}

// take waits until c may send one request.
func (b *bucket) take(ctx context.Context, c *Client, write bool) error {
	if err := c.reserve(ctx, b.any); err != nil {
		return err
	}
	if write {
		if err := c.reserve(ctx, b.write); err != nil {
			return err
		}
	}
	for {
		until := b.blockedUntil()
		wait := until.Sub(c.pool.now())
		if wait <= 0 {
			return nil
		}
		c.throttle.note(until)
		if err := c.wait(ctx, wait); err != nil {
			return err
		}
	}
}

func (c *Client) reserve(ctx context.Context, l *rate.Limiter) error {
	now := c.pool.now()
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait <= 0 {
		return ctx.Err()
	}
	if err := c.wait(ctx, wait); err != nil {
		r.CancelAt(c.pool.now())
		return err
	}
	return nil
}

// block stops all requests to the workload until a time: Graph counts every call
// made while it throttles.
func (b *bucket) block(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.blocked) {
		b.blocked = until
	}
}

func (b *bucket) blockedUntil() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.blocked
}

func (t *tenant) bucket(workload string) *bucket {
	if b, ok := t.buckets[workload]; ok {
		return b
	}
	return t.buckets[workloadOther]
}

func randomFraction() float64 { return rand.Float64() }

// workloads returns the workload whose quota a path counts against, by the
// beginning of the path. The longest beginning that fits counts.
func workloads() map[string]string {
	of := map[string]string{
		"/deviceManagement":    catalog.WorkloadDeviceConfig,
		"/deviceAppManagement": catalog.WorkloadApplications,
		"/identity":            catalog.WorkloadConditionalAccess,
		"":                     catalog.WorkloadIdentity,
	}
	for _, t := range catalog.Types() {
		of[t.Path] = t.Workload
	}
	return of
}

// bucket returns the quota that a path counts against; path begins with the
// version.
func (c *Client) bucket(path string) *bucket {
	path, _, _ = strings.Cut(path, "?")
	_, path, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for path = "/" + path; ; path = path[:strings.LastIndexByte(path, '/')] {
		if workload, ok := c.pool.workloads[path]; ok {
			return c.tenant.bucket(workload)
		}
	}
}
