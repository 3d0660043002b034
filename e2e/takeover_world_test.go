package e2e

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
	"github.com/tenantpilot/tenantpilot/services/operations"
	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

// takeoverBinary builds the takeover command, once, for tests that run it as an operator does.
var takeoverBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tp-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "takeover")
	build := exec.Command("go", "build", "-o", path, "github.com/tenantpilot/tenantpilot/services/operations/takeover/cmd/takeover")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// move is a legacy database and the new installation that takes it over.
type move struct {
	*fleet
	legacy *pgtest.DB
	binary string
	now    time.Time // the present of the older installation
}

// newMove makes a legacy database on one server, filled by flags of the fixture command, and
// the databases and the tenancy service of a new installation on another or the same server.
func newMove(t *testing.T, legacy, target pgtest.Handle, flags ...string) *move {
	t.Helper()
	m := &move{fleet: &fleet{dir: t.TempDir(), ports: map[string]string{}, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}}
	m.postgres = target
	m.tenancy = pgtest.On(t, target, tenancy.Name, tenancy.Service.Migrate)
	m.certificates(t)
	require.NoError(t, m.ca.Issue("takeover"))
	for _, name := range []string{"operations", "tenancy", "graphsim"} {
		m.ports[name] = rpctest.FreeAddress(t)
	}
	m.bootstrap(t, options{})
	m.serve(t, "tenancy", func(ctx context.Context) error { return tenancy.Service.Run(ctx, m.tenancyConfig(), m.log) })
	m.fill(t, legacy, time.Now().UTC().Truncate(time.Second), flags)
	return m
}

// again makes another move with the same tenancy.
func (m *move) again(t *testing.T, legacy pgtest.Handle, flags ...string) *move {
	t.Helper()
	other := *m.fleet
	other.dir = t.TempDir()
	second := &move{fleet: &other}
	second.fill(t, legacy, m.now, flags)
	return second
}

func (m *move) fill(t *testing.T, legacy pgtest.Handle, now time.Time, flags []string) {
	t.Helper()
	var err error
	m.binary, err = takeoverBinary()
	require.NoError(t, err)
	m.now = now
	m.legacy = pgtest.On(t, legacy, "legacy", migrateNothing)
	m.ops = pgtest.On(t, m.postgres, operations.Name, operations.Service.Migrate)
	m.must(t, append([]string{"fixture", "--url", m.legacy.OwnerURL, "--now", now.Format(time.RFC3339)}, flags...)...)
}

// migrateNothing leaves a database empty: the fixture command fills it.
func migrateNothing(context.Context, string) error { return nil }

// environment returns the variables that the runbook exports.
func (m *move) environment() map[string]string {
	return map[string]string{
		"TAKEOVER_LEGACY_URL": m.legacy.OwnerURL, "TAKEOVER_OPERATIONS_URL": m.ops.OwnerURL, "TAKEOVER_TENANCY_ADDRESS": m.ports["tenancy"],
		"TAKEOVER_TLS_CERT": m.ca.CertFile("takeover"), "TAKEOVER_TLS_KEY": m.ca.KeyFile("takeover"), "TAKEOVER_TLS_CA": m.ca.RootFile(),
		"TAKEOVER_REPORTS": filepath.Join(m.dir, "reports"),
	}
}

// in gives cmd the environment, with the binary on its PATH.
func (m *move) in(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(m.binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, value := range m.environment() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func (m *move) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return m.in(exec.CommandContext(context.WithoutCancel(t.Context()), m.binary, args...)) //nolint:gosec // our own binary
}

// must runs the binary, which must succeed, and returns its output.
func (m *move) must(t *testing.T, args ...string) string {
	t.Helper()
	said, err := m.command(t, args...).CombinedOutput()
	require.NoError(t, err, "takeover %s:\n%s", strings.Join(args, " "), said)
	return string(said)
}

// refuses runs the binary, which must fail, and returns its output.
func (m *move) refuses(t *testing.T, args ...string) string {
	t.Helper()
	said, err := m.command(t, args...).CombinedOutput()
	require.Error(t, err, "takeover %s:\n%s", strings.Join(args, " "), said)
	return string(said)
}

// worker is the older installation at work.
type worker struct {
	cmd   *exec.Cmd
	cues  io.WriteCloser // a line makes it do one step
	said  bytes.Buffer
	done  int // steps that it was ordered to do
	quit  chan struct{}
	cuing sync.WaitGroup
}

// work starts the worker, which does nothing yet.
func (m *move) work(t *testing.T) *worker {
	t.Helper()
	w := &worker{cmd: m.command(t, "fixture", "--work", "--url", m.legacy.OwnerURL, "--now", m.now.Format(time.RFC3339)), quit: make(chan struct{})}
	w.cmd.Stdout, w.cmd.Stderr = &w.said, &w.said
	var err error
	w.cues, err = w.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, w.cmd.Start())
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

// goOn makes it do a step every 50 ms, up to so many, until stop.
func (w *worker) goOn(steps int) {
	w.cuing.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for w.done < steps {
			select {
			case <-ticker.C:
				w.cue(1)
			case <-w.quit:
				return
			}
		}
	})
}

func (w *worker) cue(steps int) {
	if _, err := io.WriteString(w.cues, strings.Repeat("\n", steps)); err == nil {
		w.done += steps
	}
}

// stop makes it do the rest of so many steps, and waits until it has ended.
func (w *worker) stop(t *testing.T, steps int) {
	t.Helper()
	close(w.quit)
	w.cuing.Wait()
	w.cue(steps - w.done)
	_ = w.cues.Close() // it fails if the worker has ended too early, which Wait reports
	err := w.cmd.Wait()
	require.NoError(t, err, "the older installation failed:\n%s", w.said.String())
	require.Equal(t, steps, w.done)
}

// connect connects to a database as its owner.
func connect(t *testing.T, db *pgtest.DB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// all returns the rows of a query.
func all[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) []T {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err, sql)
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	require.NoError(t, err, sql)
	return out
}

// only returns the one value of a query.
func only[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err, sql)
	out, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return out
}
