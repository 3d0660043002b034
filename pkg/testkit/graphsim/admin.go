package graphsim

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"sync"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// Stats counts calls since the start or the last [Server.ResetStats]. Members of
// a batch count as calls of their own, beside the batch.
type Stats struct {
	Calls     map[string]int `json:"calls"`    // by "GET /beta/deviceManagement/configurationPolicies/{id}/settings"
	Statuses  map[int]int    `json:"statuses"` // by HTTP status
	Throttled int            `json:"throttled"`
	Total     int            `json:"total"`
}

type stats struct {
	mu sync.Mutex
	Stats
}

func (s *stats) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Stats = Stats{Calls: map[string]int{}, Statuses: map[int]int{}}
}

func (s *stats) count(c *call, resp *response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Total++
	s.Calls[c.method+" "+class(c)]++
	s.Statuses[resp.status]++
	if resp.status == http.StatusTooManyRequests {
		s.Throttled++
	}
}

// class returns a path without its ids.
func class(c *call) string {
	_, rest, ok := cutVersion(c.path)
	if !ok {
		return tenantSegment.ReplaceAllString(c.path, "/{tenant}/")
	}
	k, below := kind.At(rest)
	if k == nil {
		k, below = kindKeyed(rest)
	}
	if k == nil || below == "" {
		return c.path
	}
	class := c.path[:len(c.path)-len(rest)] + k.Collection
	for i, part := range pathParts(below) {
		if i%2 == 0 {
			part = "{id}"
		}
		class += "/" + part
	}
	return class
}

var tenantSegment = regexp.MustCompile(`^/[^/]+/`)

// Stats returns a copy of the counts.
func (s *Server) Stats() Stats {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	out := s.stats.Stats
	out.Calls = maps.Clone(out.Calls)
	out.Statuses = maps.Clone(out.Statuses)
	return out
}

// ResetStats sets the counts to zero.
func (s *Server) ResetStats() { s.stats.reset() }

// adminMux serves the administration of the simulator. It has no authentication:
// the simulator holds no secrets and listens on loopback.
func (s *Server) adminMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /_sim/stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Stats()) })
	mux.HandleFunc("DELETE /_sim/stats", func(w http.ResponseWriter, _ *http.Request) { s.ResetStats() })
	mux.HandleFunc("GET /_sim/load-report", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.report) })
	mux.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string][]int{"struck": s.Struck()}) })
	mux.HandleFunc("PUT /_sim/faults", s.putFaults)
	mux.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { _ = s.SetFaults(nil) })
	mux.HandleFunc("POST /_sim/tenants/{tenant}/mutate", s.mutate)
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v) //nolint:errcheck // the caller has gone: nobody to tell
}

func (s *Server) putFaults(w http.ResponseWriter, r *http.Request) {
	rules, err := ParseFaults(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil {
		err = s.SetFaults(rules)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// ParseFaults reads a fault script: a JSON array of rules. Unknown properties
// are errors, since a misspelt one would never strike.
func ParseFaults(r io.Reader) ([]Rule, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var rules []Rule
	if err := d.Decode(&rules); err != nil {
		return nil, fmt.Errorf("fault script: %w", err)
	}
	return rules, nil
}

// mutation is what POST /_sim/tenants/{tenant}/mutate takes.
type mutation struct {
	Op       string          `json:"op"` // add, remove, set, rename, elements
	Type     string          `json:"type"`
	ID       string          `json:"id"`
	Property string          `json:"property"` // of set; the navigation property of elements
	Value    json.RawMessage `json:"value"`    // the object, the value, the name, the array
}

func (s *Server) mutate(w http.ResponseWriter, r *http.Request) {
	t := s.Tenant(r.PathValue("tenant"))
	if t == nil {
		http.Error(w, "no such tenant", http.StatusNotFound)
		return
	}
	var m mutation
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 32<<20)).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id, err := m.apply(t)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, map[string]string{"id": id})
}

func (m mutation) apply(t *Tenant) (id string, err error) {
	switch m.Op {
	case "add":
		return t.Add(m.Type, m.Value)
	case "remove":
		return m.ID, t.Remove(m.Type, m.ID)
	case "set":
		return m.ID, t.Set(m.Type, m.ID, m.Property, m.Value)
	case "rename":
		var name string
		if err := json.Unmarshal(m.Value, &name); err != nil {
			return "", fmt.Errorf("value: %w", err)
		}
		return m.ID, t.Rename(m.Type, m.ID, name)
	case "elements":
		els, err := rawjson.Elements(m.Value)
		if err != nil {
			return "", fmt.Errorf("value: %w", err)
		}
		return m.ID, t.SetElements(m.Type, m.ID, m.Property, els)
	}
	return "", fmt.Errorf("unknown op %q", m.Op)
}
