// Package live is the event streams (text/event-stream): it sends browsers and
// programs what happens to runs as it happens. All viewers of a workspace share one
// stream from operations. It knows no markup: package console renders what a stream
// sends to a browser.
package live

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

const (
	liveTick = time.Second      // how often the clock on a page moves
	liveAuth = 55 * time.Second // how long the user's signed token is used
)

// Config is what the streams are made of.
type Config struct {
	Site     *web.Site
	Backends web.Backends
	Closing  <-chan struct{} // closed when the process begins to stop: streams end
	Log      *slog.Logger
}

// Streams serves the event streams. Each viewer follows one of them.
type Streams struct {
	site    *web.Site
	runs    operationsv1.RunReaderServiceClient
	hub     *hub
	closing <-chan struct{}
	now     func() time.Time
}

// New returns streams that nobody follows yet.
func New(cfg Config) (*Streams, error) {
	operations, err := cfg.Backends.To("operations")
	if err != nil {
		return nil, err
	}
	runs := operationsv1.NewRunReaderServiceClient(operations)
	return &Streams{
		site: cfg.Site, runs: runs, closing: cfg.Closing, now: cfg.Site.Now,
		hub: &hub{runs: runs, carry: cfg.Site.Carry, log: cfg.Log, watches: map[int64]*watch{}},
	}, nil
}

// lifetime bounds how long a stream lasts: about fifteen minutes, by chance more or
// less, so that not all viewers come again at once.
func lifetime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, liveLong*4/5+rand.N(liveLong*2/5))
}

// errEnough ends a stream that has nothing more to send, for example because the
// viewer has gone.
var errEnough = errors.New("enough")

// viewer is a browser or program that follows a stream.
type viewer struct {
	streams    *Streams
	who        web.Caller
	workspace  int64
	box        *mailbox
	pace       time.Duration // the least time between two looks into the mailbox
	recognised time.Time     // when the token was last resolved
	looked     time.Time     // when the viewer last looked into the mailbox
}

// renew returns ctx with a new signed token if the one on it is about to expire. It
// resolves the viewer's API token again: a revoked one is refused, and for a user who
// was removed from the workspace the run is not found.
func (v *viewer) renew(ctx context.Context) (context.Context, error) {
	site := v.streams.site
	if v.streams.now().Sub(v.recognised) < liveAuth {
		return ctx, nil
	}
	who, err := site.Resolve(ctx, v.who.Token)
	if err != nil {
		return ctx, err
	}
	if _, member := who.Role(v.workspace); !member {
		return ctx, errs.NotFound("run")
	}
	signed, err := site.Carry(ctx, who)
	if err != nil {
		return ctx, err
	}
	v.streams.hub.recognised(v.box, who)
	v.recognised = v.streams.now()
	return signed, nil
}

// refused reports whether err means that the viewer may not see the stream any more.
func refused(err error) bool {
	switch errs.Code(err) {
	case codes.Unauthenticated, codes.NotFound, codes.PermissionDenied:
		return true
	}
	return false
}

// wait returns when there is mail, or at the latest after a tick. Mail is looked at
// at once, but not twice within the viewer's pace. Its error is errEnough when the
// stream must end.
func (v *viewer) wait(ctx context.Context) error {
	mail := v.box.ready
	pace := time.NewTimer(time.Until(v.looked.Add(v.pace)))
	defer pace.Stop()
	tick := time.NewTimer(liveTick)
	defer tick.Stop()
	if time.Since(v.looked) < v.pace {
		mail = nil
	}
	for {
		select {
		case <-ctx.Done():
			return errEnough
		case <-v.streams.closing:
			return errEnough
		case <-pace.C:
			mail = v.box.ready
			continue
		case <-mail:
			v.looked = time.Now()
		case <-tick.C:
		}
		return nil
	}
}
