package obs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

// TestMain lets the test binary be the process that the tests of Main start.
func TestMain(m *testing.M) {
	role := os.Getenv("OBS_TEST_PROCESS")
	if role == "" {
		os.Exit(m.Run())
	}
	obs.Main("demo", func(ctx context.Context, log *slog.Logger) error {
		log.InfoContext(ctx, "started")
		switch role {
		case "fails":
			return errors.New("it broke")
		case "waits":
			<-ctx.Done()
			return ctx.Err()
		case "hangs":
			<-ctx.Done()
			log.InfoContext(ctx, "asked to stop")
			select {}
		}
		return nil
	})
}

func process(t *testing.T, role string, env ...string) (*exec.Cmd, *json.Decoder) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test binary
	cmd.Env = append(append(os.Environ(), "OBS_TEST_PROCESS="+role), env...)
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, json.NewDecoder(out)
}

func line(t *testing.T, d *json.Decoder) map[string]any {
	t.Helper()
	var l map[string]any
	require.NoError(t, d.Decode(&l))
	require.Equal(t, "demo", l["service"])
	return l
}

func TestAFailureIsOneLineAndExitCodeOne(t *testing.T) {
	t.Parallel()
	cmd, lines := process(t, "fails")
	require.Equal(t, "started", line(t, lines)["msg"])
	last := line(t, lines)
	require.Equal(t, "ERROR", last["level"])
	require.Equal(t, "demo: it broke", last["err"])
	require.Equal(t, io.EOF, lines.Decode(&last))
	require.Error(t, cmd.Wait())
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
}

func TestASignalEndsAProcessInOrder(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, lines := process(t, "waits")
		line(t, lines)
		require.NoError(t, cmd.Process.Signal(signal))
		require.NoError(t, cmd.Wait())
	}
}

func TestASecondSignalEndsAProcessThatHangs(t *testing.T) {
	t.Parallel()
	cmd, lines := process(t, "hangs")
	line(t, lines)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Equal(t, "asked to stop", line(t, lines)["msg"])
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(20 * time.Millisecond) // the process may still be busy with the first
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			require.Error(t, err)
			return
		case <-again.C:
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
}

func TestLoggingThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"LOG_LEVEL=loud", "LOG_FORMAT=xml"} {
		cmd, lines := process(t, "waits", setting)
		name, _, _ := strings.Cut(setting, "=")
		require.Contains(t, line(t, lines)["err"], name)
		require.Error(t, cmd.Wait())
	}
}

func TestLogsCarryTheTrace(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := obs.Logger(&out, "demo").With("k", "v").WithGroup("g")
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	log.InfoContext(trace.ContextWithSpanContext(t.Context(), span), "x\ny\x1b[31m", "user", "a\nb")
	require.Contains(t, out.String(), `"trace_id":"01000000000000000000000000000000"`)
	require.Contains(t, out.String(), `"span_id":"0200000000000000"`)
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "nobody can forge a line")
	require.NotContains(t, out.String(), "\x1b")
}

func TestTheDebugPort(t *testing.T) {
	t.Parallel()
	addr := rpctest.FreeAddress(t)
	var ready atomic.Bool
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- obs.ServeDebug(ctx, addr, func(context.Context) error {
			if ready.Load() {
				return nil
			}
			return errors.New("secret host is down")
		}, slog.New(slog.DiscardHandler))
	}()
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close() // of a test
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	require.Eventually(t, func() bool { code, _ := get("/livez"); return code == http.StatusOK }, 30*time.Second, 10*time.Millisecond)
	code, body := get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.NotContains(t, body, "secret")
	ready.Store(true)
	for _, path := range []string{"/readyz", "/metrics", "/debug/pprof/"} {
		code, body = get(path)
		require.Equal(t, http.StatusOK, code, path)
		require.NotEmpty(t, body)
	}
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, obs.ServeDebug(t.Context(), "", nil, nil), "off")
	require.Error(t, obs.ServeDebug(t.Context(), "nowhere:x", nil, nil))
}

type Part struct {
	Key  string `env:"KEY"`
	Path string `env:"PATH_FILE"`
}

type config struct {
	Part
	Names []string `env:"NAMES"`
	Named Part     `envPrefix:"SUB_"`
}

// Not parallel: it sets the environment.
func TestConfigComesFromTheEnvironment(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("hunter2\n"), 0o600))
	t.Setenv("DEMOX_NAMES", "a,b")
	t.Setenv("DEMOX_PATH_FILE", "/somewhere")
	t.Setenv("DEMOX_SUB_KEY_FILE", secret)
	t.Setenv("OTHER_NOISE", "x")
	var c config
	require.NoError(t, obs.LoadConfig("DEMOX_", &c))
	require.Equal(t, []string{"a", "b"}, c.Names)
	require.Equal(t, "hunter2", c.Named.Key, "X_FILE gives X")
	require.Equal(t, "/somewhere", c.Path, "unless it is a variable of its own")
	t.Setenv("DEMOX_KEY_FILE", secret)
	t.Setenv("DEMOX_KEY", "x")
	require.ErrorContains(t, obs.LoadConfig("DEMOX_", &c), "both set")
	t.Setenv("DEMOX_KEY_FILE", "")
	require.NoError(t, os.Unsetenv("DEMOX_KEY_FILE"))
	t.Setenv("DEMOX_NAMEZ", "a")
	t.Setenv("DEMOX_ZZZ_FILE", secret)
	err := obs.LoadConfig("DEMOX_", &c)
	require.ErrorContains(t, err, "DEMOX_NAMEZ")
	require.ErrorContains(t, err, "DEMOX_ZZZ_FILE")
	require.NotContains(t, err.Error(), "hunter2")
}
