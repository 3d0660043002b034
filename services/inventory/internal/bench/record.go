package bench

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	stdsync "sync"
)

// request is one request of a sync, to be made again by the bare client.
type request struct {
	Method, URI string
	Body        []byte
}

// recorder records the requests that pass through it while it is on.
type recorder struct {
	next http.Handler

	mu       stdsync.Mutex
	on       bool
	requests []request
}

func (r *recorder) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = true
}

func (r *recorder) stop() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
	return r.requests
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.recording() && !strings.HasSuffix(req.URL.Path, "/token") {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		r.add(request{Method: req.Method, URI: req.URL.RequestURI(), Body: body})
	}
	r.next.ServeHTTP(w, req)
}

func (r *recorder) recording() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.on
}

func (r *recorder) add(one request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, one)
}
