package connect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/graph"
	"github.com/tenantpilot/tenantpilot/pkg/rpc/roots"
)

// Settings are what an operator may change of the way to Graph.
type Settings struct {
	CA          string        `env:"GRAPH_CA"`                                       // PEM file of an authority to trust beside the system's; for a simulator
	Concurrency int           `env:"GRAPH_CONCURRENCY" envDefault:"8"`               // requests in flight per tenant
	MaxBytes    int64         `env:"GRAPH_MAX_RESPONSE_BYTES" envDefault:"33554432"` // a longer response is refused
	Timeout     time.Duration `env:"GRAPH_TIMEOUT" envDefault:"1m"`                  // of one request, its response included
	// Limits replaces published quotas by workload: "deviceConfigV2=500/20s" of all
	// its requests, "deviceConfigV2.write=50/20s" of the writes among them. A limit
	// of 0 requests means no limit.
	Limits map[string]string `env:"GRAPH_LIMITS" envKeyValSeparator:"="`
}

// Graph returns the configuration of Graph's client, without the address.
func (s Settings) Graph() (graph.Config, error) {
	g := graph.DefaultConfig()
	g.Concurrency, g.MaxResponseBytes, g.Retry.RequestTimeout = s.Concurrency, s.MaxBytes, s.Timeout
	if s.Timeout <= 0 {
		return g, fmt.Errorf("GRAPH_TIMEOUT: %s is not longer than zero", s.Timeout)
	}
	for name, text := range s.Limits {
		if err := setLimit(g.Limits.Workloads, name, text); err != nil {
			return g, fmt.Errorf("GRAPH_LIMITS: %s: %w", name, err)
		}
	}
	return g, s.trust(&g)
}

// setLimit replaces one quota, of a workload or of the writes to it.
func setLimit(quotas map[string]graph.Quota, name, text string) error {
	limit, err := parseLimit(text)
	if err != nil {
		return err
	}
	workload, write := strings.CutSuffix(name, ".write")
	quota, ok := quotas[workload]
	if !ok {
		return fmt.Errorf("no workload %q, but %q", workload, slices.Sorted(maps.Keys(quotas)))
	}
	if write {
		quota.Write = limit
	} else {
		quota.Any = limit
	}
	quotas[workload] = quota
	return nil
}

// parseLimit reads "500/20s".
func parseLimit(text string) (graph.Limit, error) {
	requests, per, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(requests)
	if err != nil || !ok || n < 0 {
		return graph.Limit{}, fmt.Errorf("%q is not like 500/20s", text)
	}
	window, err := time.ParseDuration(per)
	if err != nil || window <= 0 {
		return graph.Limit{}, fmt.Errorf("%q is not like 500/20s", text)
	}
	return graph.Limit{Requests: n, Per: window}, nil
}

func (s Settings) trust(g *graph.Config) (err error) {
	if s.CA == "" {
		return nil
	}
	if g.RootCAs, err = roots.WithSystem(s.CA); err != nil {
		return fmt.Errorf("graph CA: %w", err)
	}
	return nil
}
