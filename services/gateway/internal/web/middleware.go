package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

const requestIDHeader = "X-Request-Id"

// seen holds what the log line of a request says besides method and status. Handlers
// fill it in when they know it.
type seen struct {
	requestID string
	userID    int64
	err       error
}

type seenKey struct{}

func seenIn(ctx context.Context) *seen {
	if s, ok := ctx.Value(seenKey{}).(*seen); ok {
		return s
	}
	return &seen{}
}

// RequestID returns the id of the request that ctx belongs to. It is in the log line,
// and in every error that the caller is sent.
func RequestID(ctx context.Context) string { return seenIn(ctx).requestID }

// Note puts err on the request's log line. If it is called again, the first error
// stays: it is the cause.
func Note(ctx context.Context, err error) {
	if s := seenIn(ctx); s.err == nil {
		s.err = err
	}
}

// observed gives each request an id and one log line, and turns a panic into an error.
// Probes are logged only if they fail.
func (s *Site) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.now()
		about := &seen{requestID: saneRequestID(r.Header.Get(requestIDHeader))}
		ctx := rpc.WithRequestID(context.WithValue(r.Context(), seenKey{}, about), about.requestID)
		r = r.WithContext(ctx)
		w.Header().Set(requestIDHeader, about.requestID)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				s.panicked(rec, r, p)
			}
			if !probe(r.URL.Path) || rec.status() >= http.StatusInternalServerError {
				s.logRequest(rec, r, about, s.now().Sub(start))
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func (s *Site) panicked(rec *recorder, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	s.log.ErrorContext(r.Context(), "panic", "request_id", RequestID(r.Context()), "err", fmt.Sprint(p), "stack", string(debug.Stack()))
	if rec.code == 0 {
		s.refuse(rec, r, fmt.Errorf("panic: %v", p))
	}
}

func (s *Site) logRequest(rec *recorder, r *http.Request, about *seen, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request_id", about.requestID), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", rec.status()), slog.Int64("bytes", rec.bytes),
		slog.Duration("duration", took), slog.String("peer", Peer(r)),
	}
	if about.userID != 0 {
		attrs = append(attrs, slog.Int64("user_id", about.userID))
	}
	level := slog.LevelInfo
	if about.err != nil {
		attrs = append(attrs, slog.String("err", about.err.Error()))
		if rec.status() >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// saneRequestID returns id if it is safe to log and to send on, and a new one if not.
func saneRequestID(id string) string {
	ok := id != "" && len(id) <= 128 && strings.IndexFunc(id, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.:/+=", c))
	}) < 0
	if ok {
		return id
	}
	return rand.Text()
}

func probe(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/healthz"
}

// Peer returns the address at the other end of the connection. It does not read
// forwarding headers: anybody can write those.
func Peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// secured sets the security headers of every response. The policy allows what the pages
// need, which is scripts, styles and images of this site.
func secured(next http.Handler) http.Handler {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if !Loopback(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		next.ServeHTTP(w, r)
	})
}

// Loopback reports whether the browser speaks plain HTTP to its own machine, as
// in development. Everywhere else TLS ends here or just before us.
func Loopback(r *http.Request) bool {
	if r.TLS != nil {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Limited gives a handler 30 seconds. It is not for event streams.
func Limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// recorder remembers the status and the size of a response, for the log.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// Unwrap lets an http.ResponseController find the connection, which streams need.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
