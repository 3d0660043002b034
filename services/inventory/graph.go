package inventory

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

// graph returns how Graph is reached. The address comes from tenancy, per tenant.
func (c Config) graph() (graph.Config, error) {
	g := graph.DefaultConfig()
	g.Concurrency, g.MaxResponseBytes, g.Retry.RequestTimeout = c.GraphConcurrency, c.GraphMaxBytes, c.GraphTimeout
	if c.GraphTimeout <= 0 {
		return g, fmt.Errorf("INVENTORY_GRAPH_TIMEOUT: %s is not longer than zero", c.GraphTimeout)
	}
	for name, text := range c.GraphLimits {
		if err := setLimit(g.Limits.Workloads, name, text); err != nil {
			return g, fmt.Errorf("INVENTORY_GRAPH_LIMITS: %s: %w", name, err)
		}
	}
	return g, c.trust(&g)
}

// setLimit replaces one quota: of a workload, or of the writes to it.
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

func (c Config) trust(g *graph.Config) (err error) {
	if c.GraphCA == "" {
		return nil
	}
	if g.RootCAs, err = roots.WithSystem(c.GraphCA); err != nil {
		return fmt.Errorf("graph CA: %w", err)
	}
	return nil
}
