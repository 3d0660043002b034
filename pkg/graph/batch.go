package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/graph/internal/rawjson"
)

// BatchSize is how many requests Graph takes in one batch.
const BatchSize = 20

// BatchRequest is one member of a batch. Path begins after the version:
// "/groups".
type BatchRequest struct {
	Method  string // "" is GET
	Path    string
	Headers map[string]string
	Body    json.RawMessage
}

// BatchResponse is the final response to one member. Err is set for every status
// that is not a success, and if there was no response.
type BatchResponse struct {
	Status  int
	Headers map[string]string
	Body    json.RawMessage
	Err     error
}

// Batch sends any number of requests, [BatchSize] at a time, and returns a
// response for every one of them, in the order of reqs. Only members that fail are
// repeated, each after its own Retry-After. The error says what ended the whole
// call: ctx, or a tenant that refuses the application.
func (c *Client) Batch(ctx context.Context, version string, reqs []BatchRequest) ([]BatchResponse, error) {
	b := &batch{client: c, version: version, members: make([]member, len(reqs))}
	pending := make([]*member, len(reqs))
	for i, r := range reqs {
		b.members[i] = member{BatchRequest: r, path: "/" + version + r.Path}
		pending[i] = &b.members[i]
	}
	for len(pending) > 0 {
		due, later, err := b.due(ctx, pending)
		if err != nil {
			return nil, err
		}
		for chunk := range slices.Chunk(due, BatchSize) {
			again, err := b.send(ctx, chunk)
			if err != nil {
				return nil, err
			}
			later = append(later, again...)
		}
		pending = later
	}
	answers := make([]BatchResponse, len(reqs))
	for i := range b.members {
		answers[i] = b.members[i].answer
	}
	return answers, nil
}

type batch struct {
	client  *Client
	version string
	members []member
	token   string // of the last exchange
}

// member is one request of a batch that has no final response yet.
type member struct {
	BatchRequest
	path     string
	attempts int
	started  time.Time // of the first attempt
	renewed  bool      // it was refused once, and a new token was fetched
	next     time.Time // not to be sent earlier
	answer   BatchResponse
}

func (m *member) write() bool {
	return m.Method != "" && m.Method != http.MethodGet
}

// due waits until the first of the members may be sent, and returns those that
// may be sent by then.
func (b *batch) due(ctx context.Context, pending []*member) (due, later []*member, err error) {
	first := slices.MinFunc(pending, func(x, y *member) int { return x.next.Compare(y.next) })
	now := b.client.pool.now()
	if wait := first.next.Sub(now); wait > 0 {
		if err := b.client.wait(ctx, wait); err != nil {
			return nil, nil, err
		}
		now = b.client.pool.now()
	}
	for _, m := range pending {
		if m.next.After(now) {
			later = append(later, m)
		} else {
			due = append(due, m)
		}
	}
	return due, later, nil
}

// send sends one chunk and returns the members that must be sent again.
func (b *batch) send(ctx context.Context, chunk []*member) ([]*member, error) {
	write := false
	for _, m := range chunk {
		write = write || m.write()
		if err := b.client.bucket(m.path).take(ctx, b.client, m.write()); err != nil {
			return nil, err
		}
		if m.started.IsZero() {
			m.started = b.client.pool.now()
		}
	}
	answers, err := b.exchange(ctx, chunk, write)
	var failure *Error
	switch {
	case err == nil:
	case errors.As(err, &failure) && failure.Code == CodeTooLarge && len(chunk) > 1:
		return b.halve(ctx, chunk)
	case failure == nil || failure.Class == ClassTenantAuth:
		return nil, err
	}
	return b.settle(ctx, chunk, answers, err)
}

// halve sends the chunk as two, because the responses to all of it were too large
// together.
func (b *batch) halve(ctx context.Context, chunk []*member) ([]*member, error) {
	var again []*member
	for half := range slices.Chunk(chunk, (len(chunk)+1)/2) {
		rest, err := b.send(ctx, half)
		if err != nil {
			return nil, err
		}
		again = append(again, rest...)
	}
	return again, nil
}

// settle gives each member its response, or another attempt.
func (b *batch) settle(ctx context.Context, chunk []*member, answers map[int]BatchResponse, whole error) ([]*member, error) {
	var again []*member
	for i, m := range chunk {
		m.answer = BatchResponse{Err: whole}
		if whole != nil {
			continue // the whole was retried already
		}
		a, ok := answers[i]
		if !ok {
			a.Err = &Error{Class: ClassDependency, Code: CodeNoAnswer, retryable: true,
				call: "batch " + m.path, Message: "the batch response holds no single answer to this request"}
		}
		m.answer = a
		repeat, err := b.repeat(ctx, m)
		if err != nil {
			return nil, err
		}
		if repeat {
			again = append(again, m)
		}
	}
	return again, nil
}

// repeat decides whether m is sent again, and when.
func (b *batch) repeat(ctx context.Context, m *member) (bool, error) {
	var e *Error
	if !errors.As(m.answer.Err, &e) {
		return false, nil
	}
	if e.Status == http.StatusUnauthorized {
		if m.renewed {
			return false, e
		}
		m.renewed = true
		_, err := b.client.tokens.get(ctx, b.token)
		return err == nil, err
	}
	m.attempts++
	harmless := !m.write() || e.Class == ClassThrottled || e.Status == http.StatusFailedDependency
	wait, again := b.client.pool.delay(e, m.attempts, m.started)
	if !again || !harmless {
		return false, nil
	}
	m.next = b.client.pool.now().Add(wait)
	if e.Class == ClassThrottled {
		b.client.bucket(m.path).block(m.next)
		b.client.throttle.note(m.next)
	}
	return true, nil
}

type wireRequest struct {
	ID      string            `json:"id"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// wireResponse is the response to one member. Its body keeps its bytes.
type wireResponse struct {
	id      string // a string, but numbers have been seen
	status  int
	headers map[string]string
	body    json.RawMessage
}

func readResponse(raw json.RawMessage) wireResponse {
	var r wireResponse
	for key, value := range rawjson.Fields(raw) {
		switch key {
		case "id":
			r.id = string(bytes.Trim(value, `"`))
		case "status":
			r.status, _ = strconv.Atoi(string(value)) // 0 is no success
		case "headers":
			_ = json.Unmarshal(value, &r.headers) // what is odd in them is not needed
		case "body":
			r.body = value
		}
	}
	return r
}

// exchange sends the chunk once, as one request, and returns the responses in the
// order of the members.
func (b *batch) exchange(ctx context.Context, chunk []*member, write bool) (map[int]BatchResponse, error) {
	payload, err := marshalBatch(chunk)
	if err != nil {
		return nil, err
	}
	target, err := b.client.pool.target("/" + b.version + "/$batch")
	if err != nil {
		return nil, err
	}
	of := &call{payload: payload, repeatable: !write}
	body, err := b.client.do(ctx, http.MethodPost, target, of)
	b.token = of.token
	if err != nil {
		return nil, err
	}
	var responses []wireResponse
	for key, value := range rawjson.Fields(body) {
		if key != "responses" {
			continue
		}
		for raw := range rawjson.Elements(value) {
			responses = append(responses, readResponse(raw))
		}
	}
	return b.sort(chunk, responses), nil
}

// sort returns the responses, which come in any order, in the order of the
// members. A member with two responses counts as one without: nobody can tell
// which of the two is right.
func (b *batch) sort(chunk []*member, responses []wireResponse) map[int]BatchResponse {
	answers := make(map[int]BatchResponse, len(chunk))
	seen := make(map[int]bool, len(chunk))
	for _, r := range responses {
		i, err := strconv.Atoi(r.id)
		if err != nil || i < 0 || i >= len(chunk) {
			continue
		}
		if seen[i] {
			delete(answers, i)
			continue
		}
		seen[i] = true
		answers[i] = b.answer(chunk[i], r)
	}
	return answers
}

func (b *batch) answer(m *member, r wireResponse) BatchResponse {
	a := BatchResponse{Status: r.status, Headers: r.headers, Body: r.body}
	if r.status < 200 || r.status > 299 {
		header := make(http.Header, len(r.headers))
		for k, v := range r.headers {
			header.Set(k, v)
		}
		e := fromResponse(&http.Response{StatusCode: r.status, Header: header}, r.body, b.client.pool.now())
		e.call = "batch " + m.path
		a.Err = e
	}
	return a
}

func marshalBatch(chunk []*member) ([]byte, error) {
	wire := struct {
		Requests []wireRequest `json:"requests"`
	}{make([]wireRequest, len(chunk))}
	for i, m := range chunk {
		r := wireRequest{ID: strconv.Itoa(i), Method: m.Method, URL: m.Path, Headers: m.Headers, Body: m.Body}
		if r.Method == "" {
			r.Method = http.MethodGet
		}
		if r.Body != nil && r.Headers == nil {
			r.Headers = map[string]string{"Content-Type": "application/json"}
		}
		wire.Requests[i] = r
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // links and bodies go out as they came
	if err := encoder.Encode(wire); err != nil {
		return nil, fmt.Errorf("graph: batch: %w", err)
	}
	return out.Bytes(), nil
}
