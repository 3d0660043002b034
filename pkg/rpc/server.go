// Package rpc is gRPC servers and clients as we build them: mutual TLS, who may
// call what, deadlines, validation, errors that keep their meaning, one log
// line a call, health. It knows no service; a method's rules are in its proto.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"buf.build/go/protovalidate"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/obs"
)

const (
	// A larger request is refused with an error that names the field.
	maxMessage = 4 << 20
	// gRPC itself does not read a request larger than this.
	maxReceived = 32 << 20
	healthEvery = 2 * time.Second
	// A healthy server becomes unhealthy after so many failed checks in a row.
	// One failure alone is often only a slow moment of what was checked, and
	// being unhealthy sends every caller away.
	healthFails = 2
	// So many goroutines take calls, one after the other; a call that finds none
	// free gets a new one. A new goroutine grows its stack in every call, which
	// took a tenth of all CPU time.
	workers = 256
)

// ServerConfig is a server, by environment (after the service's prefix).
type ServerConfig struct {
	Listen      string   `env:"LISTEN"`
	TLSCert     string   `env:"TLS_CERT"` // files, read again when they change
	TLSKey      string   `env:"TLS_KEY"`
	TLSCA       string   `env:"TLS_CA"`
	ActorKeys   []string `env:"ACTOR_KEYS"`   // the gateway's public keys, PEM files
	Reflection  bool     `env:"REFLECTION"`   // on in the development profile
	AdminListen string   `env:"ADMIN_LISTEN"` // liveness, readiness, metrics, pprof

	// DrainGrace is how long a server that is ending reports that it is not ready
	// before it refuses new calls. A load balancer needs that time to notice.
	DrainGrace time.Duration `env:"DRAIN_GRACE" envDefault:"1s"`
}

// Server is a gRPC server as this package builds it.
type Server struct {
	name      string
	cfg       ServerConfig
	log       *slog.Logger
	files     *certificates
	verifier  *actor.Verifier
	traced    bool // somebody takes spans
	grpc      *grpc.Server
	health    *health.Server
	registry  *prometheus.Registry
	leaving   context.Context // a signal, nobody's call: ends when streams are to end
	leave     context.CancelFunc
	lis       net.Listener
	methods   map[string]*method // from here on known when serving
	validator protovalidate.Validator
}

// NewServer makes the server of the service name. Extra options come after
// ours: their interceptors see only calls that ours let through.
func NewServer(name string, cfg ServerConfig, log *slog.Logger, extra ...grpc.ServerOption) (*Server, error) {
	files, err := openCertificates(cfg.TLSCert, cfg.TLSKey, cfg.TLSCA, log)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", name, err)
	}
	verifier, err := actor.NewVerifier(cfg.ActorKeys...)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", name, err)
	}
	s := &Server{
		name: name, cfg: cfg, log: log, files: files, verifier: verifier, health: health.NewServer(),
		registry: prometheus.NewRegistry(), traced: traced(),
	}
	s.leaving, s.leave = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(slices.Concat(s.options(), observeServer(), extra)...)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	return s, nil
}

func (s *Server) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(mutual{files: s.files}),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(maxReceived),
		grpc.NumStreamWorkers(workers),
		grpc.MaxHeaderListSize(32 << 10),
		grpc.MaxConcurrentStreams(5000), // long polls and watches hold one each, and the gateway has one connection
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second,
			MaxConnectionAge: 10 * time.Minute, MaxConnectionAgeGrace: 30 * time.Second,
		}),
	}
}

// Registrar is where the service registers itself, before [Server.Serve].
func (s *Server) Registrar() grpc.ServiceRegistrar { return s.grpc }

// Metrics is where the service adds what /metrics shows beside the server's own.
func (s *Server) Metrics() prometheus.Registerer { return s.registry }

// Listen opens the port, so that [Server.Addr] is known before [Server.Serve] is
// called. Serve calls it otherwise.
func (s *Server) Listen(ctx context.Context) error {
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	s.lis = lis
	return nil
}

// Addr returns the address of the open port, after [Server.Listen].
func (s *Server) Addr() string { return s.lis.Addr().String() }

// Serve serves until ctx ends. Then it reports that it is not ready and waits for
// the drain grace; then it refuses new calls and ends its streams, whose clients
// open them elsewhere; then it waits for running calls and returns nil. It
// refuses to start if a method has no rule that says who may call it. The service
// is healthy while healthy returns nil; healthy may be nil.
func (s *Server) Serve(ctx context.Context, healthy func(context.Context) error) error {
	if s.lis == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	return s.ServeOn(ctx, s.lis, healthy)
}

// ServeOn is [Server.Serve] on a listener that the caller opened. ServeOn closes
// it.
func (s *Server) ServeOn(ctx context.Context, lis net.Listener, healthy func(context.Context) error) error {
	if err := s.prepare(); err != nil {
		s.grpc.Stop() // its workers wait already
		return errors.Join(fmt.Errorf("server %s: %w", s.name, err), lis.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	// The debug port stays open to the last, so that a drain can be watched.
	stopped, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	check := func(asked context.Context) error {
		if ctx.Err() != nil {
			return errLeaving
		}
		return s.ask(asked, healthy)
	}
	group.Go(func() error { return s.serve(ctx, lis) })
	group.Go(func() error { return obs.ServeDebug(stopped, s.cfg.AdminListen, check, s.log, s.registry) })
	group.Go(func() error { s.pollHealth(ctx, check); return nil })
	group.Go(func() error { defer stop(); s.stop(ctx); return nil })
	s.log.InfoContext(ctx, "serving", "address", lis.Addr().String())
	if err := group.Wait(); err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	return nil
}

func (s *Server) serve(ctx context.Context, lis net.Listener) error {
	err := s.grpc.Serve(lis)
	if errors.Is(err, grpc.ErrServerStopped) && ctx.Err() != nil {
		return nil // asked to stop before it had begun
	}
	return err
}

func (s *Server) ask(ctx context.Context, healthy func(context.Context) error) error {
	if healthy == nil {
		return s.files.check()
	}
	return errors.Join(s.files.check(), healthy(ctx))
}

// prepare reads the rules of all registered methods.
func (s *Server) prepare() (err error) {
	if s.cfg.Reflection {
		reflection.Register(s.grpc)
	}
	if s.methods, err = readRules(s.grpc.GetServiceInfo()); err != nil {
		return err
	}
	if err := s.measure(); err != nil {
		return err
	}
	s.validator, err = newValidator(s.methods)
	return err
}

func (s *Server) pollHealth(ctx context.Context, check func(context.Context) error) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	known, failed := error(errUnknown), 0
	for {
		err := s.askHealth(ctx, check)
		if ctx.Err() != nil {
			return // shutting down has already said what there is to say
		}
		if failed++; err == nil {
			failed = 0
		}
		if err == nil || known != nil || failed >= healthFails {
			s.tellHealth(ctx, known, err)
			known = err
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

var errUnknown = errors.New("not asked yet")

func (s *Server) askHealth(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, healthEvery)
	defer cancel()
	return check(ctx)
}

func (s *Server) tellHealth(ctx context.Context, before, err error) {
	if (err == nil) != (before == nil) {
		s.log.InfoContext(ctx, "health", "healthy", err == nil, "err", err)
	}
	status := healthv1.HealthCheckResponse_SERVING
	if err != nil {
		status = healthv1.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus("", status)
	for service := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(service, status)
	}
}
