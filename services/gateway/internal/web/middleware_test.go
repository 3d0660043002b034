package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// serveLogged serves one request with h and returns the response and the log.
func serveLogged(t *testing.T, path string, h http.HandlerFunc) (*httptest.ResponseRecorder, string) {
	t.Helper()
	var lines strings.Builder
	s := &Site{log: slog.New(slog.NewJSONHandler(&lines, nil)), now: time.Now, pages: plain{}}
	w := httptest.NewRecorder()
	s.observed(h).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w, lines.String()
}

// plain is [Pages] without markup.
type plain struct{}

func (plain) Message(w http.ResponseWriter, _ *http.Request, status int, heading, _ string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(heading))
}

func (p plain) Error(w http.ResponseWriter, r *http.Request, err error) {
	p.Message(w, r, ProblemOf(err).Status, "error", "")
}

func TestPanicIsOneHonestAnswer(t *testing.T) {
	t.Parallel()
	for path, contentType := range map[string]string{
		"/api/v1/operations": "application/problem+json", "/operations": "text/html; charset=utf-8",
	} {
		w, lines := serveLogged(t, path, func(http.ResponseWriter, *http.Request) { panic("host db-1 password=x") })
		if w.Code != http.StatusInternalServerError || w.Header().Get("Content-Type") != contentType || strings.Contains(w.Body.String(), "db-1") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if !strings.Contains(lines, `"msg":"panic"`) || !strings.Contains(lines, `"status":500`) {
			t.Errorf("%s: the log says %s", path, lines)
		}
	}
}

func TestProbesAreSilent(t *testing.T) {
	t.Parallel()
	if _, lines := serveLogged(t, "/livez", func(http.ResponseWriter, *http.Request) {}); lines != "" {
		t.Errorf("a probe was logged: %s", lines)
	}
	if _, lines := serveLogged(t, "/readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }); !strings.Contains(lines, "503") {
		t.Error("a failing probe was not logged")
	}
}

func TestOneLinePerRequest(t *testing.T) {
	t.Parallel()
	var sent string
	_, lines := serveLogged(t, "/operations/1%0Aforged", func(w http.ResponseWriter, r *http.Request) {
		sent = rpc.RequestIDFrom(r.Context())
		Note(r.Context(), context.Canceled)
		w.WriteHeader(http.StatusTeapot)
	})
	if strings.Count(lines, "\n") != 1 || !strings.Contains(lines, `"status":418`) || !strings.Contains(lines, `"err":"context canceled"`) {
		t.Errorf("log: %s", lines)
	}
	if sent == "" || !strings.Contains(lines, sent) {
		t.Errorf("calls carry request id %q, the log says %s", sent, lines)
	}
}
