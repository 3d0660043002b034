package graphsim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

const maxBatch = 20

// batchMember is one request inside a $batch.
type batchMember struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

// batch handles every member like a call of its own, quotas and faults included,
// and returns the responses in an order of its own.
func (s *Server) batch(c *call, r *http.Request) *response {
	if c.method != http.MethodPost {
		return c.refuse(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return c.refuse(http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload.")
	}
	var envelope struct {
		Requests []batchMember `json:"requests"`
	}
	if json.Unmarshal(raw, &envelope) != nil {
		return c.refuse(http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	}
	if reason := checkBatch(envelope.Requests); reason != "" {
		return c.refuse(http.StatusBadRequest, "BadRequest", reason)
	}
	done := map[string]*response{}
	var parts []json.RawMessage
	for _, m := range envelope.Requests {
		resp := s.member(c, r, m, done)
		done[m.ID] = resp
		parts = append(parts, m.wrap(resp))
	}
	s.shuffleMu.Lock()
	s.shuffle.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	s.shuffleMu.Unlock()
	return respond(http.StatusOK, rawjson.Object("responses", parts))
}

// checkBatch returns what makes the whole batch unacceptable, or "".
func checkBatch(ms []batchMember) string {
	if len(ms) == 0 {
		return "Invalid batch payload format: at least one request is required."
	}
	if len(ms) > maxBatch {
		return fmt.Sprintf("Number of batch request steps exceeds the maximum value of %d.", maxBatch)
	}
	seen := map[string]bool{}
	for i, m := range ms {
		switch {
		case m.ID == "" || m.Method == "" || m.URL == "":
			return fmt.Sprintf("Invalid batch payload format: request %d needs id, method and url.", i+1)
		case seen[m.ID]:
			return fmt.Sprintf("Request Id %s has to be unique in a batch.", m.ID)
		case strings.Contains(m.URL, "://") || strings.HasPrefix(m.URL, "//"):
			return fmt.Sprintf("Invalid request url in request %s: it has to be relative.", m.ID)
		}
		// A member may only wait for one listed before it, so there is no cycle.
		if slices.ContainsFunc(m.DependsOn, func(id string) bool { return !seen[id] }) {
			return fmt.Sprintf("Request %s depends on an unknown or later request.", m.ID)
		}
		seen[m.ID] = true
	}
	return ""
}

func (s *Server) member(c *call, outer *http.Request, m batchMember, done map[string]*response) *response {
	for _, id := range m.DependsOn {
		if done[id].status >= 400 {
			return c.refuse(http.StatusFailedDependency, "FailedDependency", fmt.Sprintf("Request %s failed.", id))
		}
	}
	r, err := m.request(outer.Context(), c.version)
	if err != nil || strings.HasSuffix(r.URL.Path, "/$batch") {
		return c.refuse(http.StatusBadRequest, "BadRequest", "Invalid request url.")
	}
	r.Host = outer.Host
	r.Header.Set("Authorization", outer.Header.Get("Authorization"))
	if len(m.Body) > 0 && r.Header.Get("Content-Type") == "" {
		return c.refuse(http.StatusBadRequest, "BadRequest", "Content-Type header is required for a request with a body.")
	}
	resp := s.answer(r)
	if resp.broken {
		panic(http.ErrAbortHandler)
	}
	return resp
}

func (m batchMember) request(ctx context.Context, version string) (*http.Request, error) {
	target := "/" + version + "/" + strings.TrimPrefix(m.URL, "/")
	r, err := http.NewRequestWithContext(ctx, strings.ToUpper(m.Method), target, bytes.NewReader(m.Body))
	if err != nil {
		return nil, err
	}
	for k, v := range m.Headers {
		r.Header.Set(k, v)
	}
	return r, nil
}

// wrap adds the response to a member to that of the batch. What is not JSON
// becomes a base64 string.
func (m batchMember) wrap(resp *response) json.RawMessage {
	headers := map[string]string{}
	for k, v := range resp.header {
		headers[k] = v[0]
	}
	body := json.RawMessage(resp.body)
	if !json.Valid(body) {
		body = rawjson.Encode(base64.StdEncoding.EncodeToString(resp.body))
	}
	return rawjson.Object("id", m.ID, "status", resp.status, "headers", headers, "body", body)
}
