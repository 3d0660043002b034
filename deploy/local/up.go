package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/demo"
	"github.com/tenantpilot/tenantpilot/deploy/local/internal/fleet"
	"github.com/tenantpilot/tenantpilot/deploy/local/internal/postgres"
	"github.com/tenantpilot/tenantpilot/deploy/local/internal/provision"
	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
)

// machine is everything that the launcher runs for this checkout. Its owner calls close.
type machine struct {
	plan
	root  string
	state fleet.State
	fleet *fleet.Fleet
	pg    *postgres.Server
	out   *os.File
	undo  []func() error // close calls them, the last first
}

func dataDir(root string) string   { return filepath.Join(root, ".data") }
func stateFile(root string) string { return filepath.Join(dataDir(root), "fleet.json") }

// up runs every service until ctx ends or one of them does.
func up(ctx context.Context, source Source, out *os.File) error {
	m, err := launch(ctx, source, out)
	if errors.Is(err, fleet.ErrHeld) {
		return already(m.root)
	}
	if err != nil {
		return err
	}
	m.addresses()
	fmt.Fprintln(out, "Ctrl-C ends everything.")
	err = m.wait(ctx)
	fmt.Fprintln(out, "\nending everything")
	return errors.Join(err, m.close())
}

// already returns an error that says where the running fleet is.
func already(root string) error {
	s, err := fleet.ReadState(stateFile(root))
	if err != nil || !s.Alive() {
		return errors.New("it is just starting or ending in another terminal: try again in a moment")
	}
	return fmt.Errorf("it is already running since %s as process %d: %s", s.StartTime.Format(time.TimeOnly), s.PID, s.Console)
}

// launch starts everything. If it fails it leaves nothing running, and the machine it
// returns knows only the root of the checkout.
func launch(ctx context.Context, source Source, out *os.File) (*machine, error) {
	m := &machine{out: out}
	err := m.start(ctx, source)
	if err != nil {
		err = errors.Join(err, m.close())
	}
	return m, err
}

func (m *machine) start(ctx context.Context, source Source) (err error) {
	if m.root, err = findRoot(); err != nil {
		return err
	}
	m.source, m.bin, m.token = source, filepath.Join(m.root, ".bin"), filepath.Join(dataDir(m.root), "token")
	if m.ports, err = portBase(); err != nil {
		return err
	}
	if err := m.hold(); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"PostgreSQL", m.provide},
		{"keys and certificates", m.makeKeys},
		{"databases", m.makeDatabases},
		{"services", m.startAll},
	} {
		if err := m.step(ctx, step.what, step.do); err != nil {
			return err
		}
	}
	return m.publish(ctx)
}

// step calls do and prints how long it took.
func (m *machine) step(ctx context.Context, what string, do func(context.Context) error) error {
	began := time.Now()
	if err := do(ctx); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: interrupted", what)
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Fprintf(m.out, "%-22s %5.1f s\n", what, time.Since(began).Seconds())
	return nil
}

// hold takes the lock of the checkout, so that there is one launcher, and starts the guard.
func (m *machine) hold() error {
	logs := filepath.Join(dataDir(m.root), "log")
	// If we are root, PostgreSQL runs as another user, who must be able to enter .data.
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	lock, err := fleet.Lock(filepath.Join(dataDir(m.root), "lock"))
	if err != nil {
		return err
	}
	m.undo = append(m.undo, lock.Close)
	if err := fleet.CheckFree(m.ports.all()); err != nil {
		return err
	}
	guard, err := fleet.NewGuard(lock)
	if err != nil {
		return err
	}
	m.undo = append(m.undo, guard.Dismiss)
	m.fleet = fleet.New(logs, guard)
	return nil
}

func (m *machine) provide(ctx context.Context) (err error) {
	place := postgres.Place{
		Data:  filepath.Join(dataDir(m.root), "pg"),
		Cache: filepath.Join(m.root, ".cache", "pg"),
		Port:  m.ports.postgres(),
	}
	if m.pg, err = postgres.Provide(ctx, place, m.out); err != nil {
		return err
	}
	m.superuser = m.pg.URL
	m.undo = append(m.undo, m.pg.Stop)
	return nil
}

func (m *machine) makeKeys(context.Context) (err error) {
	m.keys, err = provision.MakeKeys(filepath.Join(dataDir(m.root), "keys"))
	return err
}

// makeDatabases makes the databases, migrates each, and makes the first workspace,
// token and tenant.
func (m *machine) makeDatabases(ctx context.Context) error {
	if err := provision.MakeDatabases(ctx, m.superuser, m.keys); err != nil {
		return err
	}
	for _, s := range roster.Stores() {
		p, err := m.migration(s)
		if err != nil {
			return err
		}
		if err := once(ctx, p); err != nil {
			return err
		}
	}
	p, err := m.bootstrap()
	if err != nil {
		return err
	}
	return once(ctx, p)
}

func (m *machine) startAll(ctx context.Context) error {
	all, err := m.processes()
	if err != nil {
		return err
	}
	m.undo = append(m.undo, func() error { m.fleet.Stop(); return nil })
	for _, p := range all {
		if err := m.fleet.Start(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// publish writes what runs here into a file, for other launchers of the checkout.
func (m *machine) publish(ctx context.Context) (err error) {
	m.state = fleet.State{
		PID: os.Getpid(), StartTime: time.Now(), Source: m.source.String(), Token: m.token,
		Console: "http://" + m.ports.gateway(), Simulator: "https://" + m.ports.simulator(),
		Authority: m.keys.File("operator", "ca.pem"),
	}
	client, err := apiClient(m.state)
	if err != nil {
		return err
	}
	_, directory := m.source.tenant()
	if m.state.WorkspaceID, m.state.TenantID, err = client.Scope(ctx, workspace, directory); err != nil {
		return err
	}
	m.undo = append(m.undo, func() error { return os.Remove(stateFile(m.root)) })
	return fleet.WriteState(stateFile(m.root), m.state)
}

func apiClient(s fleet.State) (demo.Client, error) {
	token, err := os.ReadFile(s.Token)
	return demo.Client{Base: s.Console, Token: strings.TrimSpace(string(token))}, err
}

var errEnded = errors.New("exit status 0")

// wait returns nil when ctx ends, or an error if a process ended before that.
func (m *machine) wait(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if m.pg.Own() {
		go func() {
			state := m.pg.Wait()
			cancel(fmt.Errorf("PostgreSQL ended by itself; see %s: %w", filepath.Join(dataDir(m.root), "pg"), cmp.Or(state, errEnded)))
		}()
	}
	err := m.fleet.Wait(ctx)
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// close stops what was started, the last first.
func (m *machine) close() error {
	var errs []error
	for len(m.undo) > 0 {
		last := len(m.undo) - 1
		errs = append(errs, m.undo[last]())
		m.undo = m.undo[:last]
	}
	return errors.Join(errs...)
}

// addresses prints where everything is.
func (m *machine) addresses() {
	s, operator := m.state, func(name string) string { return relative(m.root, m.keys.File("operator", name)) }
	fmt.Fprintf(m.out, `
The tenant is %[1]s.
  console     %[2]s/operations   sign in with the token of %[3]s
  API         curl -H "Authorization: Bearer $(cat %[3]s)" %[2]s/api/v1/workspaces/%[4]d/operations
  gRPC        .bin/grpcurl -cacert %[5]s -cert %[6]s -key %[7]s %[8]s list   (make grpcurl installs it)
  database    %[9]s
  logs        %[10]s
  traces      OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 make up sends them to a Jaeger that listens there
`, s.Source, s.Console, relative(m.root, s.Token), s.WorkspaceID,
		operator("ca.pem"), operator("cert.pem"), operator("key.pem"), m.ports.addr(roster.Stores()[0].GRPC()),
		m.pg.What, relative(m.root, filepath.Join(dataDir(m.root), "log")))
}

// relative returns path as seen from the checkout.
func relative(root, path string) string {
	if rel, err := filepath.Rel(root, path); err == nil {
		return rel
	}
	return path
}
