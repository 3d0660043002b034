// Package gateway is the process that browsers and programs speak to: it serves the
// JSON API, the event streams and the console, and calls the gRPC services behind it.
// It has no database.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// Name is the name of the service in certificates and logs.
const Name = "gateway"

// EnvPrefix begins the names of the environment variables that [Config] is read from.
const EnvPrefix = "GATEWAY_"

// Config is the settings of the service, each with its variable after [EnvPrefix].
type Config struct {
	Listen      string `env:"LISTEN" envDefault:"127.0.0.1:7080"`
	AdminListen string `env:"ADMIN_LISTEN"`

	rpc.ClientConfig
	ActorKey string `env:"ACTOR_KEY,required"` // private key file; signs which user a call is for

	Targets

	SessionKey string `env:"SESSION_KEY"` // 32 bytes in base64, the same in all replicas. Empty: a new one at each start
	// LegacyRunIDOffset is the number that the takeover of an older TenantPilot added to
	// the ids of its runs. With it, their former addresses lead to the right runs.
	LegacyRunIDOffset int64 `env:"LEGACY_RUN_ID_OFFSET"`

	RateLimit float64 `env:"RATE_LIMIT" envDefault:"50"`
	RateBurst int     `env:"RATE_BURST" envDefault:"200"`
}

// Run serves until ctx ends. It then waits up to ten seconds for requests to finish.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return serve(ctx, lis, cfg, log)
}

// serve is [Run] on a listener, which it closes.
func serve(ctx context.Context, lis net.Listener, cfg Config, log *slog.Logger) error {
	closing := make(chan struct{})
	site, closeConns, err := open(ctx, cfg, closing, log)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	defer closeConns()
	srv := &http.Server{
		Handler: site, MaxHeaderBytes: 32 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	log.InfoContext(ctx, "serving", "listen", lis.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		close(closing)
		return shutdown(ctx, srv)
	})
	group.Go(func() error { return obs.ServeDebug(ctx, cfg.AdminListen, site.Ready, log) })
	return group.Wait()
}

func shutdown(ctx context.Context, srv *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), srv.Close())
	}
	return nil
}

// open makes the site and the connections to the services behind it.
func open(ctx context.Context, cfg Config, closing <-chan struct{}, log *slog.Logger) (*web.Site, func(), error) {
	if cfg.RateLimit <= 0 || cfg.RateBurst < 1 {
		return nil, nil, errors.New("GATEWAY_RATE_LIMIT and GATEWAY_RATE_BURST must be above zero")
	}
	if cfg.LegacyRunIDOffset < 0 {
		return nil, nil, errors.New("GATEWAY_LEGACY_RUN_ID_OFFSET must not be below zero")
	}
	signer, err := actor.NewSigner(cfg.ActorKey)
	if err != nil {
		return nil, nil, err
	}
	key, err := sessionKey(ctx, cfg.SessionKey, log)
	if err != nil {
		return nil, nil, err
	}
	services := cfg.services()
	backends, closeConns, err := dial(services, cfg.ClientConfig, log)
	if err != nil {
		return nil, nil, err
	}
	site, err := parts{
		backends: backends, handlers: handlersOf(services), signer: signer, sessionKey: key, rate: cfg.RateLimit, burst: cfg.RateBurst,
		formerOffset: cfg.LegacyRunIDOffset, closing: closing, log: log,
	}.site(ctx)
	if err != nil {
		closeConns()
		return nil, nil, err
	}
	return site, closeConns, nil
}

// sessionKey returns the configured key, or one that is lost when the process ends.
func sessionKey(ctx context.Context, encoded string, log *slog.Logger) ([]byte, error) {
	if encoded == "" {
		log.WarnContext(ctx, "no session key: everybody signs in again after a restart, and replicas do not know each other's sessions")
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		return key, nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != 32 {
		return nil, errors.New("GATEWAY_SESSION_KEY: want 32 bytes in base64")
	}
	return key, nil
}
