package graphsim

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
)

// RunConfig is the simulator as a process.
type RunConfig struct {
	Config
	Listen   string
	CertFile string // PEM files: the simulator speaks only HTTPS, since
	KeyFile  string // credentials refuse to go anywhere else
}

// The tenant the development fleet knows.
const (
	DemoTenant = "11111111-2222-3333-4444-555555555555"
	DemoClient = "demo-client"
)

// ParseArgs reads the command line; what no flag says comes from GRAPHSIM_* in
// the environment (-client-secret-file: GRAPHSIM_CLIENT_SECRET_FILE), and the
// rest has defaults.
func ParseArgs(args []string, getenv func(string) string) (RunConfig, error) {
	var o options
	f := o.flags()
	if err := f.Parse(args); err != nil {
		return o.cfg, err
	}
	if err := fromEnv(f, getenv); err != nil {
		return o.cfg, err
	}
	return o.config()
}

// options is the command line as it was given.
type options struct {
	cfg                RunConfig
	tenant             TenantConfig
	secretFile, faults string
	quotas             bool
}

// flags returns the flags that set o.
func (o *options) flags() *flag.FlagSet {
	cfg, t := &o.cfg, &o.tenant
	f := flag.NewFlagSet("graphsim", flag.ContinueOnError)
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:7081", "address to serve on")
	f.StringVar(&cfg.CertFile, "tls-cert", "", "certificate, a PEM file")
	f.StringVar(&cfg.KeyFile, "tls-key", "", "its key, a PEM file")
	f.StringVar(&t.ID, "tenant", DemoTenant, "directory id of the tenant")
	f.StringVar(&t.ClientID, "client-id", DemoClient, "the application that may read it")
	f.StringVar(&t.ClientSecret, "client-secret", "", "its secret (seen by ps: prefer -client-secret-file)")
	f.StringVar(&o.secretFile, "client-secret-file", "", "a file holding the secret")
	f.IntVar(&t.Size, "size", 60, "policies to generate")
	f.Uint64Var(&t.Seed, "seed", 1, "what to generate them from")
	f.Func("load", "folder of exported policies to serve instead (repeatable)", func(dir string) error {
		t.Load = append(t.Load, dir)
		return nil
	})
	f.DurationVar(&cfg.Latency, "latency", 0, "added to every call")
	f.BoolVar(&o.quotas, "quotas", true, "throttle as the published limits say")
	f.StringVar(&o.faults, "faults", "", "fault script, a JSON file")
	return f
}

// config reads the files that o names.
func (o *options) config() (RunConfig, error) {
	cfg, t := o.cfg, o.tenant
	cfg.NoQuotas = !o.quotas
	if o.secretFile != "" {
		b, err := os.ReadFile(o.secretFile)
		if err != nil {
			return cfg, fmt.Errorf("client secret: %w", err)
		}
		t.ClientSecret = strings.TrimSpace(string(b))
	}
	if t.Size < 0 {
		return cfg, fmt.Errorf("size %s is negative", strconv.Itoa(t.Size))
	}
	cfg.Tenants = []TenantConfig{t}
	var err error
	cfg.Faults, err = readFaults(o.faults)
	return cfg, err
}

// fromEnv sets every flag that was not given from the environment. Several
// folders to load are separated as in PATH.
func fromEnv(f *flag.FlagSet, getenv func(string) string) error {
	given := map[string]bool{}
	f.Visit(func(g *flag.Flag) { given[g.Name] = true })
	var errs []error
	f.VisitAll(func(g *flag.Flag) {
		name := "GRAPHSIM_" + strings.ToUpper(strings.ReplaceAll(g.Name, "-", "_"))
		value := getenv(name)
		if value == "" || given[g.Name] {
			return
		}
		values := []string{value}
		if g.Name == "load" {
			values = strings.Split(value, string(os.PathListSeparator))
		}
		for _, v := range values {
			if err := f.Set(g.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

func readFaults(path string) ([]Rule, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("fault script: %w", err)
	}
	defer file.Close()
	return ParseFaults(file)
}

// Run serves until ctx ends.
func Run(ctx context.Context, cfg RunConfig, log *slog.Logger) error {
	s, err := New(cfg.Config)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.LoadReport().log(ctx, log)
	log.InfoContext(ctx, "listening", "address", "https://"+l.Addr().String(), "tenant_id", cfg.Tenants[0].ID, "objects", s.objects())
	return s.Serve(ctx, l, pair)
}

// objects counts what all tenants hold.
func (s *Server) objects() int {
	n := 0
	for _, a := range s.tenants {
		for _, k := range kind.All() {
			n += len(a.content.IDs(k.Name))
		}
	}
	return n
}

// Serve speaks HTTPS on l until ctx ends, then finishes the calls under way.
func (s *Server) Serve(ctx context.Context, l net.Listener, pair tls.Certificate) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.ServeTLS(l, "", "") }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		srv.Close() // a hanging call is not worth waiting for
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
