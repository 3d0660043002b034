package graphsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// Rule makes matching calls go wrong. It is JSON in a faults file and at
// PUT /_sim/faults. The first rule that matches and is due wins.
type Rule struct {
	Name   string `json:"name,omitempty"`   // for whoever reads the script
	Method string `json:"method,omitempty"` // empty: any
	Path   string `json:"path"`             // with * for anything, slashes included; without the query
	Tenant string `json:"tenant,omitempty"` // empty: any
	After  int    `json:"after,omitempty"`  // matching calls to let pass first
	Times  int    `json:"times,omitempty"`  // how often to strike; 0: always
	Kind   Fault  `json:"kind"`

	Status     int    `json:"status,omitempty"`      // of FaultStatus
	Code       string `json:"code,omitempty"`        // of FaultStatus; default by status
	RetryAfter int    `json:"retry_after,omitempty"` // seconds; 0: no header
	AsDate     bool   `json:"as_date,omitempty"`     // Retry-After as an HTTP date
	DelayMS    int    `json:"delay_ms,omitempty"`    // of FaultSlow
	Host       string `json:"host,omitempty"`        // of FaultEvilLink
	Bytes      int    `json:"bytes,omitempty"`       // of FaultOversize; default 50 MiB
}

// Fault is what goes wrong.
type Fault string

// The faults there are.
const (
	FaultStatus       Fault = "status"        // an error answer
	FaultReset        Fault = "reset"         // connection lost in mid-body
	FaultTruncated    Fault = "truncated"     // 200, and half the JSON
	FaultHTML         Fault = "html"          // 200, and a web page
	FaultLoop         Fault = "loop"          // a nextLink to the page itself
	FaultEvilLink     Fault = "evil_link"     // a nextLink to another host
	FaultEmptyPage    Fault = "empty_page"    // a page of nothing before the first one
	FaultSettingCount Fault = "setting_count" // every count of elements, such as settingCount, one too high
	FaultOmit         Fault = "omit"          // a page without its first object, which stays there to be asked for
	FaultSlow         Fault = "slow"          // the right answer, late
	FaultHang         Fault = "hang"          // no answer until the caller leaves
	FaultOversize     Fault = "oversize"      // a page padded with white space
)

var allFaults = []Fault{
	FaultStatus, FaultReset, FaultTruncated, FaultHTML, FaultLoop, FaultEvilLink,
	FaultEmptyPage, FaultSettingCount, FaultOmit, FaultSlow, FaultHang, FaultOversize,
}

func (r Rule) check() error {
	switch {
	case !slices.Contains(allFaults, r.Kind):
		return fmt.Errorf("rule %q: unknown kind %q", r.Name, r.Kind)
	case r.Path == "":
		return fmt.Errorf("rule %q: no path", r.Name)
	case r.Kind == FaultStatus && (r.Status < 400 || r.Status > 599):
		return fmt.Errorf("rule %q: status %d is no error", r.Name, r.Status)
	case r.After < 0 || r.Times < 0 || r.RetryAfter < 0 || r.DelayMS < 0 || r.Bytes < 0:
		return fmt.Errorf("rule %q: negative number", r.Name)
	}
	return nil
}

// faults is the script in force.
type faults struct {
	mu    sync.Mutex
	rules []*armed
}

type armed struct {
	Rule
	seen, struck int
}

// SetFaults replaces the script; counting starts again.
func (s *Server) SetFaults(rules []Rule) error {
	list := make([]*armed, len(rules))
	for i, r := range rules {
		if err := r.check(); err != nil {
			return err
		}
		list[i] = &armed{Rule: r}
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = list
	return nil
}

// Struck returns how often each rule in force has struck, in the order of the
// script.
func (s *Server) Struck() []int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make([]int, len(s.faults.rules))
	for i, a := range s.faults.rules {
		out[i] = a.struck
	}
	return out
}

// take returns the rule that strikes this call, or nil.
func (f *faults) take(method, path, tenant string) *Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.rules {
		if a.Method != "" && a.Method != method || a.Tenant != "" && a.Tenant != tenant || !glob(a.Path, path) {
			continue
		}
		a.seen++
		if a.seen <= a.After || a.Times > 0 && a.struck >= a.Times {
			continue
		}
		a.struck++
		rule := a.Rule
		return &rule
	}
	return nil
}

// glob matches * against any text.
func glob(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	for i := range len(s) + 1 {
		if glob(rest, s[i:]) {
			return true
		}
	}
	return false
}

// withFault handles a call as rule says; without a rule, as usual.
func (s *Server) withFault(c *call, r *http.Request, rule *Rule) *response {
	if rule == nil {
		return s.route(c, r)
	}
	switch rule.Kind {
	case FaultStatus:
		return c.scripted(rule)
	case FaultHTML:
		resp := respond(http.StatusOK, []byte("<!DOCTYPE html><html><head><title>Service unavailable</title></head><body>Our services aren't available right now</body></html>"))
		resp.header.Set("Content-Type", "text/html; charset=utf-8")
		return resp
	case FaultHang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case FaultSlow:
		if pause.For(r.Context(), time.Duration(rule.DelayMS)*time.Millisecond) != nil {
			panic(http.ErrAbortHandler)
		}
	case FaultEmptyPage:
		if !c.query.Has("$skiptoken") { // a later page's link would be its own: a loop, not a delay
			link := c.nextLink(s.skipToken(c, 0))
			return respond(http.StatusOK, rawjson.Object("@odata.context", c.metadata("emptyPage"), "@odata.nextLink", link, "value", []json.RawMessage{}))
		}
	}
	resp := s.route(c, r)
	if resp.status == http.StatusOK {
		bend(c, resp, rule)
	}
	return resp
}

func (c *call) scripted(rule *Rule) *response {
	code := rule.Code
	if code == "" {
		code = strings.ReplaceAll(http.StatusText(rule.Status), " ", "")
	}
	var resp *response
	if strings.Contains(c.path, "/device") {
		resp = c.refuseIntune(rule.Status, code, "An internal server error has occurred", rule.RetryAfter)
	} else {
		resp = c.refuse(rule.Status, code, http.StatusText(rule.Status))
	}
	switch {
	case rule.RetryAfter > 0 && rule.AsDate:
		resp.header.Set("Retry-After", c.at.Add(time.Duration(rule.RetryAfter)*time.Second).UTC().Format(http.TimeFormat))
	case rule.RetryAfter > 0:
		resp.header.Set("Retry-After", strconv.Itoa(rule.RetryAfter))
	}
	return resp
}

// bend changes a good response as rule says.
func bend(c *call, resp *response, rule *Rule) {
	switch rule.Kind {
	case FaultReset:
		resp.broken = true
	case FaultTruncated:
		resp.body = resp.body[:len(resp.body)/2]
	case FaultLoop:
		token := c.query.Get("$skiptoken")
		resp.body = rawjson.WithProperty(resp.body, "@odata.nextLink", rawjson.Encode(c.nextLink(token)))
	case FaultEvilLink:
		host := rule.Host
		if host == "" {
			host = "graph.example.net"
		}
		resp.body = rawjson.WithProperty(resp.body, "@odata.nextLink", rawjson.Encode("https://"+host+c.path+"?$skiptoken=x"))
	case FaultSettingCount:
		resp.body = raiseCounts(resp.body)
	case FaultOmit:
		if els, err := rawjson.Elements(rawjson.Property(resp.body, "value")); err == nil && len(els) > 0 {
			resp.body = rawjson.WithProperty(resp.body, "value", rawjson.Array(els[1:]))
		}
	case FaultOversize:
		size := rule.Bytes
		if size == 0 {
			size = 50 << 20
		}
		resp.body = append(resp.body, bytes.Repeat([]byte(" "), max(0, size-len(resp.body)))...)
	}
}

// raiseCounts adds one to every count of elements in a list or item.
func raiseCounts(body []byte) []byte {
	raise := func(raw json.RawMessage) json.RawMessage {
		for _, name := range countProperties() {
			if n, err := strconv.Atoi(string(rawjson.Property(raw, name))); err == nil {
				raw = rawjson.WithProperty(raw, name, rawjson.Encode(n+1))
			}
		}
		return raw
	}
	els, err := rawjson.Elements(rawjson.Property(body, "value"))
	if err != nil {
		return raise(body)
	}
	for i := range els {
		els[i] = raise(els[i])
	}
	return rawjson.WithProperty(body, "value", rawjson.Array(els))
}

func countProperties() (names []string) {
	for _, k := range kind.All() {
		for _, n := range k.Navs {
			if n.Count != "" && !slices.Contains(names, n.Count) {
				names = append(names, n.Count)
			}
		}
	}
	return names
}

// send writes a response. One that must break loses its connection half way.
func send(w http.ResponseWriter, resp *response) {
	w.Header().Set("Content-Length", strconv.Itoa(len(resp.body)))
	w.WriteHeader(resp.status)
	if !resp.broken {
		w.Write(resp.body) //nolint:errcheck // the caller has gone: nobody to tell
		return
	}
	w.Write(resp.body[:len(resp.body)/2]) //nolint:errcheck // as above
	http.NewResponseController(w).Flush() //nolint:errcheck // as above
	panic(http.ErrAbortHandler)
}
