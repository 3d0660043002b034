// Package gateway is the way in from outside: the JSON API and the console, over
// the gRPC services. It owns nothing and has no database.
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
	"google.golang.org/grpc"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// Name is the service's, in certificates and logs.
const Name = "gateway"

// EnvPrefix is that of the environment variables [Config] is read from.
const EnvPrefix = "GATEWAY_"

// Config is the service's settings, by environment after [EnvPrefix].
type Config struct {
	Listen      string `env:"LISTEN" envDefault:"127.0.0.1:7080"`
	AdminListen string `env:"ADMIN_LISTEN"`

	rpc.ClientConfig
	ActorKey string `env:"ACTOR_KEY,required"` // private key file: signs who a call is for

	OperationsTarget string `env:"OPERATIONS_TARGET" envDefault:"127.0.0.1:7101"`
	TenancyTarget    string `env:"TENANCY_TARGET" envDefault:"127.0.0.1:7102"`
	InventoryTarget  string `env:"INVENTORY_TARGET" envDefault:"127.0.0.1:7103"`

	SessionKey string `env:"SESSION_KEY"` // 32 bytes in base64; replicas share one. Empty: made anew at each start
	// LegacyRunIDOffset is what the takeover of an older TenantPilot added to the
	// ids of its runs: their former addresses lead to where they are now.
	LegacyRunIDOffset int64 `env:"LEGACY_RUN_ID_OFFSET"`

	RateLimit float64 `env:"RATE_LIMIT" envDefault:"50"`
	RateBurst int     `env:"RATE_BURST" envDefault:"200"`
}

// Run serves until ctx ends, then lets requests finish for a while.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return serve(ctx, lis, cfg, log)
}

// serve is Run on a listener of the caller's; it closes it.
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

// open makes the site and the connections it calls through.
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
	var conns []*grpc.ClientConn
	closeConns := func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for _, to := range []struct{ target, name string }{
		{cfg.OperationsTarget, "operations"}, {cfg.TenancyTarget, "tenancy"}, {cfg.InventoryTarget, "inventory"},
	} {
		conn, err := rpc.Dial(to.target, to.name, cfg.ClientConfig, log)
		if err != nil {
			closeConns()
			return nil, nil, err
		}
		conns = append(conns, conn)
	}
	site, err := web.New(ctx, web.Config{
		Operations: conns[0], Tenancy: conns[1], Inventory: conns[2],
		Signer: signer, SessionKey: key, Rate: cfg.RateLimit, Burst: cfg.RateBurst, FormerOffset: cfg.LegacyRunIDOffset,
		Closing: closing, Log: log,
	})
	if err != nil {
		closeConns()
		return nil, nil, err
	}
	return site, closeConns, nil
}

// sessionKey is the configured key, or one that lasts as long as the process.
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
