package inventory

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/graph"
)

// graph is how Graph is reached. Where it is, tenancy says per tenant.
func (c Config) graph() (graph.Config, error) {
	g := graph.DefaultConfig()
	g.Concurrency = cmp.Or(c.GraphConcurrency, g.Concurrency)
	g.MaxResponseBytes = cmp.Or(c.GraphMaxBytes, g.MaxResponseBytes)
	for name, text := range c.GraphLimits {
		limit, err := parseLimit(text)
		if err != nil {
			return g, fmt.Errorf("%sGRAPH_LIMITS: %s: %w", EnvPrefix, name, err)
		}
		quota, ok := g.Limits.Workloads[name]
		if !ok {
			return g, fmt.Errorf("%sGRAPH_LIMITS: no workload %q, but %q", EnvPrefix, name, slices.Sorted(maps.Keys(g.Limits.Workloads)))
		}
		quota.Any = limit
		g.Limits.Workloads[name] = quota
	}
	return g, c.trust(&g)
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

func (c Config) trust(g *graph.Config) error {
	if c.GraphCA == "" {
		return nil
	}
	pem, err := os.ReadFile(c.GraphCA)
	if err != nil {
		return fmt.Errorf("graph CA: %w", err)
	}
	if g.RootCAs, err = x509.SystemCertPool(); err != nil {
		return fmt.Errorf("graph CA: %w", err)
	}
	if !g.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("graph CA: %s holds no certificate", c.GraphCA)
	}
	return nil
}
