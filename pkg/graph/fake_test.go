package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is time that passes only when somebody sleeps.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	slept []time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	c.at = c.at.Add(d)
	c.slept = append(c.slept, d)
	return nil
}

func (c *clock) total() (d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.slept {
		d += s
	}
	return d
}

// secret is a credential that counts how it was asked.
type secret struct {
	mu     sync.Mutex
	asked  int
	forced int
	err    error
	expiry time.Time
}

func (s *secret) Token(_ context.Context, force bool) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if force {
		s.forced++
	}
	if s.err != nil {
		return Token{}, s.err
	}
	return Token{Value: fmt.Sprintf("token-%d", s.asked), ExpiresAt: s.expiry}, nil
}

// world is a server of the test's own and a client for it.
type world struct {
	*Client
	url   string
	clock *clock
	cred  *secret

	mu   sync.Mutex
	hits []string // method and request URI as received
}

func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.hits...)
}

// count is how many requests began with prefix ("GET /beta/…").
func (w *world) count(prefix string) (n int) {
	for _, h := range w.requests() {
		if strings.HasPrefix(h, prefix) {
			n++
		}
	}
	return n
}

func setup(t *testing.T, handler http.HandlerFunc, change ...func(*Config)) *world {
	t.Helper()
	w := &world{
		clock: &clock{at: time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)},
		cred:  &secret{expiry: time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)},
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.hits = append(w.hits, r.Method+" "+r.RequestURI)
		w.mu.Unlock()
		handler(rw, r)
	}))
	t.Cleanup(server.Close)
	cfg := DefaultConfig()
	cfg.BaseURL = server.URL
	for _, c := range change {
		c(&cfg)
	}
	pool, err := newPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	pool.insecure, pool.now, pool.sleep = true, w.clock.now, w.clock.sleep
	pool.jitter = func() float64 { return 0.5 }
	w.url, w.Client = server.URL, pool.Client("tenant", w.cred)
	return w
}

// inside serves $batch by calling handler for every member.
func inside(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		version, ok := strings.CutSuffix(r.URL.Path, "/$batch")
		if !ok {
			handler(w, r)
			return
		}
		var asked struct{ Requests []wireRequest }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"responses":[`)
		for i := range asked.Requests {
			q := asked.Requests[len(asked.Requests)-1-i] // any order will do
			rec := httptest.NewRecorder()
			member := httptest.NewRequest(q.Method, version+q.URL, strings.NewReader(string(q.Body)))
			member.Host = r.Host
			handler(rec, member)
			headers := map[string]string{}
			for k := range rec.Header() {
				headers[k] = rec.Header().Get(k)
			}
			text, _ := json.Marshal(headers)
			if i > 0 {
				_, _ = io.WriteString(w, ",")
			}
			_, _ = fmt.Fprintf(w, `{"id":%q,"status":%d,"headers":%s,"body":%s}`, q.ID, rec.Code, text, rec.Body)
		}
		_, _ = io.WriteString(w, `]}`)
	}
}

// based puts the server's address where BASE stands.
func based(body, base string) string { return strings.ReplaceAll(body, "BASE", base) }
