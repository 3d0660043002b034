package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
)

// Process is what a service is wired with.
type Process struct {
	Name   string
	Log    *slog.Logger
	DB     *pgxpool.Pool // as the app role
	Pages  *page.Sealer
	Server *rpc.Server

	conns map[string]*grpc.ClientConn
	loops []func(context.Context) error
	last  []func() // what close calls, in the opposite order
	wrong error    // what was wrong with the wiring; see fail
}

// open makes all that a service is wired with.
func (s Spec[C]) open(ctx context.Context, p *Process, cfg Config) (err error) {
	if p.Pages, err = page.FromConfig(cfg.PageKey, p.Log); err != nil {
		return fmt.Errorf("%sPAGE_KEY: %w", s.EnvPrefix(), err)
	}
	if p.Server, err = rpc.NewServer(s.Name, cfg.Server, p.Log); err != nil {
		return err
	}
	p.Defer(p.Server.Close)
	if err := s.dial(p, cfg); err != nil {
		return err
	}
	if p.DB, err = pg.Open(ctx, cfg.Database.URL, cfg.Database.MaxConns, s.Settings...); err != nil {
		return err
	}
	p.Defer(p.DB.Close)
	return p.Server.Metrics().Register(pg.Metrics(p.DB))
}

// dial makes a connection to each service that this one calls. A connection is
// established at its first call.
func (s Spec[C]) dial(p *Process, cfg Config) error {
	if err := s.checkTargets(cfg.Targets); err != nil {
		return err
	}
	p.conns = map[string]*grpc.ClientConn{}
	identity := rpc.ClientConfig{TLSCert: cfg.Server.TLSCert, TLSKey: cfg.Server.TLSKey, TLSCA: cfg.Server.TLSCA}
	for callee, target := range cfg.Targets {
		conn, err := rpc.Dial(target, callee, identity, p.Log)
		if err != nil {
			return err
		}
		p.conns[callee] = conn
		p.Defer(func() { _ = conn.Close() })
	}
	return nil
}

// Dial returns the connection to a service that [Spec.Calls] names. With
// another name the process does not start.
func (p *Process) Dial(service string) grpc.ClientConnInterface {
	conn, ok := p.conns[service]
	if !ok {
		p.fail(fmt.Errorf("%s calls %s, which is not in the list of services that it calls", p.Name, service))
	}
	return conn
}

// Go adds a loop: it runs from the start of the process until the context that
// it is given ends, and then returns nil. Its error ends the process.
func (p *Process) Go(name string, loop func(context.Context) error) {
	p.loops = append(p.loops, func(ctx context.Context) error {
		if err := loop(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// Every adds a loop that calls pass at the start of the process and then every d.
// A pass that fails is logged, and is followed by the next one as if it had not.
func (p *Process) Every(d time.Duration, name string, pass func(context.Context) error) {
	if d <= 0 {
		p.fail(fmt.Errorf("%s cannot run every %s: the interval must be longer than zero", name, d))
		return
	}
	p.Go(name, func(ctx context.Context) error {
		every(ctx, d, func() {
			if err := pass(ctx); err != nil && ctx.Err() == nil {
				p.Log.WarnContext(ctx, "pass failed", "loop", name, "err", err)
			}
		})
		return nil
	})
}

// every calls f now and then every d until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Defer calls f when the process ends: after every loop has returned, and
// before what was opened earlier is closed. It is called also if the process
// does not start.
func (p *Process) Defer(f func()) { p.last = append(p.last, f) }

func (p *Process) fail(err error) { p.wrong = errors.Join(p.wrong, err) }

func (p *Process) close() {
	for _, f := range slices.Backward(p.last) {
		f()
	}
}

func (p *Process) run(ctx context.Context, healthy func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.Server.Serve(ctx, healthy) })
	for _, loop := range p.loops {
		group.Go(func() error { return loop(ctx) })
	}
	return group.Wait()
}
