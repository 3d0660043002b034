package console

import (
	"net/http/httptest"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/webtest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// setup serves a console over a new world.
func setup(t *testing.T, more ...func(*Config)) (*httptest.Server, *webtest.World) {
	t.Helper()
	pages, err := NewPages()
	webtest.Must(t, err)
	site, backends, w := webtest.NewSite(t, pages)
	cfg := Config{Site: site, Backends: backends, Pages: pages, SessionKey: make([]byte, 32)}
	for _, f := range more {
		f(&cfg)
	}
	c, err := New(cfg)
	webtest.Must(t, err)
	c.Mount()
	return webtest.Open(t, site), w
}
