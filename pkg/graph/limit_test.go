package graph

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/graph/catalog"
)

// No window of the limit's length, wherever it begins, holds more than the limit.
func TestLimit_everyWindow(t *testing.T) {
	t.Parallel()
	for _, limit := range []Limit{{1, time.Second}, {100, 20 * time.Second}, {1000, 20 * time.Second}, {3, time.Second}} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			w := setup(t, nil)
			b := &bucket{any: limit.limiter(), write: Limit{}.limiter()}
			sent := make([]time.Time, 3*limit.Requests+2)
			for i := range sent {
				require.NoError(t, b.take(t.Context(), w.Client, false))
				sent[i] = w.clock.now()
			}
			for i := limit.Requests; i < len(sent); i++ {
				// A microsecond for the rounding of the limiter's floats.
				require.GreaterOrEqual(t, sent[i].Sub(sent[i-limit.Requests]), limit.Per-time.Microsecond)
			}
			took := sent[len(sent)-1].Sub(sent[0])
			require.LessOrEqual(t, took, 5*limit.Per, "nor much fewer")
		})
	}
}

func TestLimit_writesCountTwice(t *testing.T) {
	t.Parallel()
	w := setup(t, inside(echo), func(c *Config) {
		c.Limits = Limits{Other: Quota{Any: Limit{10, time.Second}, Write: Limit{1, time.Minute}}}
	})
	write := BatchRequest{Method: http.MethodPatch, Path: "/x", Body: []byte(`{}`)}
	_, err := w.Batch(t.Context(), "beta", []BatchRequest{write, {Path: "/y"}, {Path: "/y"}})
	require.NoError(t, err)
	require.Less(t, w.clock.total(), time.Second)
	_, err = w.Batch(t.Context(), "beta", []BatchRequest{write})
	require.NoError(t, err)
	require.GreaterOrEqual(t, w.clock.total(), 59*time.Second)
}

func TestLimit_conditionalAccessOncePerSecond(t *testing.T) {
	t.Parallel()
	w := setup(t, pages(
		`{"value":[],"@odata.nextLink":"BASE/beta/identity/conditionalAccess/policies?n=1"}`,
		`{"value":[],"@odata.nextLink":"BASE/beta/identity/conditionalAccess/policies?n=2"}`,
		`{"value":[]}`))
	_, err := w.ReadType(t.Context(), mustLookup(t, "conditionalAccess/policies"), func(Object) error { return nil })
	require.NoError(t, err)
	require.InDelta(t, 2*time.Second, w.clock.total(), float64(time.Millisecond))
}

// Clients of one tenant share its quota and its silence; other tenants and
// workloads don't suffer.
func TestThrottle_sharedByTheTenant(t *testing.T) {
	t.Parallel()
	throttled := true
	w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
		if throttled {
			throttled = false
			status(429, "30")(rw, r)
			return
		}
		echo(rw, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := w.pool.Client("tenant", w.cred)
	cancelled.OnThrottle(func(time.Time) { cancel() })
	_, err := cancelled.Get(ctx, "/beta/deviceManagement/x")
	require.ErrorIs(t, err, context.Canceled)

	_, err = w.pool.Client("other", w.cred).Get(t.Context(), "/beta/deviceManagement/x")
	require.NoError(t, err)
	_, err = w.Get(t.Context(), "/beta/deviceAppManagement/x")
	require.NoError(t, err)
	require.Zero(t, w.clock.total())

	var told []time.Time
	w.OnThrottle(func(until time.Time) { told = append(told, until) })
	began := w.clock.now()
	for range 2 {
		_, err = w.Get(t.Context(), "/beta/deviceManagement/y")
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, w.clock.total(), 30*time.Second)
	require.Len(t, told, 1)
	require.GreaterOrEqual(t, told[0].Sub(began), 30*time.Second)
}

func TestConcurrency_perTenant(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var once sync.Once
	now, most := 0, 0
	full := make(chan struct{})
	w := setup(t, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		if now == 3 {
			once.Do(func() { close(full) })
		}
		mu.Unlock()
		select { // all three slots are used, or the test hangs here
		case <-full:
		case <-r.Context().Done():
		}
		echo(rw, r)
		mu.Lock()
		now--
		mu.Unlock()
	}, func(c *Config) { c.Concurrency = 3 })
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			_, err := w.pool.Client("tenant", w.cred).Get(t.Context(), "/beta/x")
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Equal(t, 3, most)
}

// Nobody waits for a slot, a token or a quota after its context has ended.
func TestCancelled_everywhere(t *testing.T) {
	t.Parallel()
	w := setup(t, echo)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Get(ctx, "/beta/x")
	require.ErrorIs(t, err, context.Canceled)
	_, err = w.Batch(ctx, "beta", asks(3))
	require.ErrorIs(t, err, context.Canceled)
	result, err := w.ReadType(ctx, mustLookup(t, "assignmentFilters"), func(Object) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, result.Complete)
	require.Empty(t, w.requests())
}

func TestBucket_byPath(t *testing.T) {
	t.Parallel()
	w := setup(t, nil)
	for path, workload := range map[string]string{
		"/beta/deviceManagement/configurationPolicies":              catalog.WorkloadDeviceConfigV2,
		"/beta/deviceManagement/configurationPolicies/1/settings?x": catalog.WorkloadDeviceConfigV2,
		"/beta/deviceManagement/configurationPolicies?$top=1/2":     catalog.WorkloadDeviceConfigV2,
		"/beta/deviceManagement/configurationPolicyTemplates":       catalog.WorkloadDeviceConfig,
		"/beta/deviceAppManagement/mobileApps":                      catalog.WorkloadApplications,
		"/v1.0/identity/conditionalAccess/policies/1":               catalog.WorkloadConditionalAccess,
		"/v1.0/groups":  catalog.WorkloadIdentity,
		"/beta/$batch":  catalog.WorkloadIdentity,
		"/beta":         catalog.WorkloadIdentity,
		"/beta/unheard": catalog.WorkloadIdentity,
	} {
		require.Same(t, w.tenant.bucket(workload), w.bucket(path), path)
	}
}

func TestDefaultLimits_everyType(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits()
	for _, typ := range catalog.Types() {
		require.Contains(t, limits.Workloads, typ.Workload, typ.Name)
	}
}
