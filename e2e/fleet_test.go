// Package e2e holds the tests that need two services or more. They run the whole fleet on
// loopback ports with mutual TLS, with a real PostgreSQL and the Graph simulator.
package e2e

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/pg"
	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/service"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/gateway"
	"github.com/tenantpilot/tenantpilot/services/inventory"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

const (
	directoryID = "11111111-2222-3333-4444-555555555555"
	clientID    = "demo-client"
	secret      = "correct horse battery staple"
)

// options are what a test changes.
type options struct {
	postgres     *pgtest.PrivateServer // nil means the shared server
	sim          graphsim.TenantConfig
	noQuotas     bool
	latency      time.Duration
	secret       string // the tenant's secret in tenancy
	runTypes     string
	graphTimeout time.Duration // for one request to Graph
	outside      bool          // the test starts inventory, in a process of its own
}

// fleet is every service, running.
type fleet struct {
	dir       string
	ca        *devca.CA
	sim       *graphsim.Server
	inventory *pgtest.DB
	ops       *pgtest.DB
	tenancy   *pgtest.DB
	ports     map[string]string
	postgres  pgtest.Handle
	log       *slog.Logger
	api       *api
	workspace string
	tenant    string
}

func start(t *testing.T, o options) *fleet {
	t.Helper()
	f := &fleet{dir: t.TempDir(), ports: map[string]string{}, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	server := pgtest.Server(t)
	if o.postgres != nil {
		server = o.postgres.Handle()
	}
	f.postgres = server
	f.ops = pgtest.On(t, server, operations.Name, operations.Service.Migrate)
	f.tenancy = pgtest.On(t, server, tenancy.Name, tenancy.Service.Migrate)
	f.inventory = pgtest.On(t, server, inventory.Name, inventory.Service.Migrate)
	f.certificates(t)
	for _, name := range []string{"graphsim", "operations", "tenancy", "inventory", "gateway"} {
		f.ports[name] = rpctest.FreeAddress(t)
	}
	f.simulator(t, o)
	f.bootstrap(t, o)
	f.serve(t, "operations", func(ctx context.Context) error { return operations.Service.Run(ctx, f.operationsConfig(o), f.log) })
	f.serve(t, "tenancy", func(ctx context.Context) error { return tenancy.Service.Run(ctx, f.tenancyConfig(), f.log) })
	if !o.outside {
		f.serve(t, "inventory", func(ctx context.Context) error { return inventory.Service.Run(ctx, f.inventoryConfig(o), f.log) })
	}
	f.serve(t, "gateway", func(ctx context.Context) error { return gateway.Run(ctx, f.gatewayConfig(), f.log) })
	f.signIn(t)
	return f
}

func (f *fleet) certificates(t *testing.T) {
	t.Helper()
	var err error
	f.ca, err = devca.Open(f.dir)
	require.NoError(t, err)
	for _, name := range []string{"operations", "tenancy", "inventory", "gateway", "graphsim", "operator"} {
		require.NoError(t, f.ca.Issue(name))
	}
	require.NoError(t, devca.ActorKey(f.dir))
}

// serve runs a service until the test ends, and waits for its port.
func (f *fleet) serve(t *testing.T, name string, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(45 * time.Second):
			t.Errorf("%s did not stop", name)
		}
	})
	f.reachable(t, name)
}

func (f *fleet) reachable(t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", f.ports[name])
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 30*time.Second, 20*time.Millisecond, "%s does not listen", name)
}

func (f *fleet) simulator(t *testing.T, o options) {
	t.Helper()
	tenant := o.sim
	tenant.ID, tenant.ClientID, tenant.ClientSecret = directoryID, clientID, secret
	var err error
	f.sim, err = graphsim.New(graphsim.Config{Tenants: []graphsim.TenantConfig{tenant}, NoQuotas: o.noQuotas, Latency: o.latency})
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(f.ca.CertFile("graphsim"), f.ca.KeyFile("graphsim"))
	require.NoError(t, err)
	f.serve(t, "graphsim", func(ctx context.Context) error {
		lis, err := net.Listen("tcp", f.ports["graphsim"])
		if err != nil {
			return err
		}
		return f.sim.Serve(ctx, lis, pair)
	})
}

func (f *fleet) bootstrap(t *testing.T, o options) {
	t.Helper()
	f.write(t, "master.key", strings.Repeat("QUFB", 10)+"QUE=")
	known := o.secret
	if known == "" {
		known = secret
	}
	b := tenancy.Bootstrap{
		Workspace: "Demo", Owner: "Ada Byron", TokenFile: filepath.Join(f.dir, "token"), TenantName: "Contoso",
		DirectoryID: directoryID, ClientID: clientID, ClientSecretFile: f.write(t, "secret", known),
	}
	require.NoError(t, b.Run(t.Context(), f.tenancyConfig(), f.log))
}

func (f *fleet) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// service returns the settings that every service has; calls names the
// services that this one calls.
func (f *fleet) service(name string, db pg.Config, calls ...string) service.Config {
	cfg := service.Config{Database: db, Targets: map[string]string{}, Server: rpc.ServerConfig{
		Listen: f.ports[name], TLSCert: f.ca.CertFile(name), TLSKey: f.ca.KeyFile(name), TLSCA: f.ca.RootFile(),
		ActorKeys: []string{filepath.Join(f.dir, "actor-pub.pem")}, Reflection: true,
	}}
	for _, callee := range calls {
		cfg.Targets[callee] = f.ports[callee]
	}
	return cfg
}

func (f *fleet) operationsConfig(o options) operations.Config {
	cfg := operations.Service.Defaults()
	cfg.Config = f.service("operations", pg.Config{URL: f.ops.URL, MaxConns: 10})
	cfg.RunTypes, cfg.ReapEvery = o.runTypes, 500*time.Millisecond
	return cfg
}

func (f *fleet) tenancyConfig() tenancy.Config {
	return tenancy.Config{
		Config:            f.service("tenancy", pg.Config{URL: f.tenancy.URL, MaxConns: 5}),
		MasterKeyFile:     filepath.Join(f.dir, "master.key"),
		AuthorityOverride: "https://" + f.ports["graphsim"], GraphOverride: "https://" + f.ports["graphsim"],
		ExtraCA: f.ca.RootFile(),
	}
}

func (f *fleet) inventoryConfig(o options) inventory.Config {
	cfg := inventory.Service.Defaults()
	cfg.Config = f.service("inventory", pg.Config{URL: f.inventory.URL, MaxConns: 20}, "operations", "tenancy")
	cfg.Work.Workers, cfg.Work.Heartbeat, cfg.Work.Sweep = 4, time.Second, time.Second
	cfg.Graph.CA, cfg.Graph.Timeout = f.ca.RootFile(), cmp.Or(o.graphTimeout, cfg.Graph.Timeout)
	cfg.Schedules.Every = time.Second
	return cfg
}

func (f *fleet) gatewayConfig() gateway.Config {
	return gateway.Config{
		Listen:       f.ports["gateway"],
		ClientConfig: rpc.ClientConfig{TLSCert: f.ca.CertFile("gateway"), TLSKey: f.ca.KeyFile("gateway"), TLSCA: f.ca.RootFile()},
		ActorKey:     filepath.Join(f.dir, "actor-key.pem"), RateLimit: 1000, RateBurst: 1000,
		Targets: gateway.Targets{Operations: f.ports["operations"], Tenancy: f.ports["tenancy"], Inventory: f.ports["inventory"]},
	}
}

func (f *fleet) signIn(t *testing.T) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(f.dir, "token"))
	require.NoError(t, err)
	f.api = &api{base: "http://" + f.ports["gateway"], token: strings.TrimSpace(string(token))}
	var workspaces struct{ Workspaces []struct{ ID string } }
	f.api.must(t, "GET", "/api/v1/workspaces", nil, &workspaces)
	require.Len(t, workspaces.Workspaces, 1)
	f.workspace = workspaces.Workspaces[0].ID
	var tenants struct{ Tenants []struct{ ID string } }
	f.api.must(t, "GET", "/api/v1/workspaces/"+f.workspace+"/tenants", nil, &tenants)
	require.Len(t, tenants.Tenants, 1)
	f.tenant = tenants.Tenants[0].ID
}

func (f *fleet) tenantPath(rest string) string {
	return fmt.Sprintf("/api/v1/workspaces/%s/tenants/%s/%s", f.workspace, f.tenant, rest)
}

func (f *fleet) superuser(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.postgres.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
