package live

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// setup serves the streams over a new world.
func setup(t *testing.T, more ...func(*web.Config)) (*httptest.Server, *webtest.World) {
	t.Helper()
	streams, w := newStreams(t, more...)
	return serve(t, streams), w
}

func newStreams(t *testing.T, more ...func(*web.Config)) (*Streams, *webtest.World) {
	t.Helper()
	site, backends, w := webtest.NewSite(t, nil, more...)
	closing := make(chan struct{})
	t.Cleanup(func() { close(closing) })
	streams, err := New(Config{Site: site, Backends: backends, Closing: closing, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	webtest.Must(t, err)
	return streams, w
}

func serve(t *testing.T, s *Streams) *httptest.Server {
	t.Helper()
	s.site.HandleFunc("GET /api/v1/operations/{run}/events", s.RunEvents(http.NotFoundHandler()))
	s.site.HandleFunc("GET /api/v1/workspaces/{workspace}/operations:watch", s.WorkspaceEvents)
	return webtest.Open(t, s.site)
}
