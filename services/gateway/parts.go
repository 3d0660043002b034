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

// parts is what the rooms of the gateway are made of. The rooms do not know each
// other: site puts them together.
type parts struct {
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
func (p parts) site(ctx context.Context) (*web.Site, error) {
	pages, err := console.NewPages()
	if err != nil {
		return nil, err
	}
	site, err := web.New(web.Config{
		Backends: p.backends, Pages: pages, Signer: p.signer, Rate: p.rate, Burst: p.burst, Log: p.log, Now: p.now,
	})
	if err != nil {
		return nil, err
	}
	api, err := jsonapi.New(ctx, site, p.backends, p.handlers)
	if err != nil {
		return nil, fmt.Errorf("json api: %w", err)
	}
	if err := api.Complete(); err != nil {
		return nil, fmt.Errorf("json api: %w", err)
	}
	people, err := console.New(console.Config{
		Site: site, Backends: p.backends, Pages: pages, SessionKey: p.sessionKey, FormerOffset: p.formerOffset,
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	streams, err := live.New(live.Config{Site: site, Backends: p.backends, Closing: p.closing, Log: p.log})
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
