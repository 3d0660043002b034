package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/jsonapi"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/live"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// rooms is what the rooms of the gateway are made of. They do not know each other:
// here they are put together.
type rooms struct {
	backends     web.Backends
	handlers     map[string][]jsonapi.Handler
	signer       *actor.Signer
	sessionKey   []byte
	rate         float64
	burst        int
	formerOffset int64
	now          func() time.Time // time.Now if nil
	closing      <-chan struct{}
	log          *slog.Logger
}

// site returns everything that the gateway serves.
func (c rooms) site(ctx context.Context) (*web.Site, error) {
	pages, err := console.NewPages()
	if err != nil {
		return nil, err
	}
	site, err := web.New(web.Config{
		Backends: c.backends, Pages: pages, Signer: c.signer, Rate: c.rate, Burst: c.burst, Log: c.log, Now: c.now,
	})
	if err != nil {
		return nil, err
	}
	api, err := jsonapi.New(ctx, site, c.backends, c.handlers)
	if err != nil {
		return nil, fmt.Errorf("json api: %w", err)
	}
	if err := api.Complete(); err != nil {
		return nil, fmt.Errorf("json api: %w", err)
	}
	people, err := console.New(console.Config{
		Site: site, Backends: c.backends, Pages: pages, SessionKey: c.sessionKey, FormerOffset: c.formerOffset,
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	streams, err := live.New(live.Config{Site: site, Backends: c.backends, Closing: c.closing, Log: c.log})
	if err != nil {
		return nil, fmt.Errorf("event streams: %w", err)
	}
	site.Handle("/api/", web.Limited(api))
	site.HandleFunc("GET /openapi.json", jsonapi.OpenAPI)
	site.HandleFunc("GET /api/v1/operations/{run}/events", streams.RunEvents(web.Limited(api)))
	site.HandleFunc("GET /api/v1/workspaces/{workspace}/operations:watch", streams.WorkspaceEvents)
	site.HandleFunc("GET /operations/{run}/live", streams.RunFragments(people.Session, people.Fragment))
	people.Mount()
	return site, nil
}
