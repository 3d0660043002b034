package graphsim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nothing(string) string { return "" }

func TestArguments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secretFile, script := filepath.Join(dir, "secret"), filepath.Join(dir, "faults.json")
	for path, content := range map[string]string{secretFile: "from the file\n", script: `[{"path":"*","kind":"html"}]`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"GRAPHSIM_LISTEN": "127.0.0.1:1", "GRAPHSIM_SIZE": "7", "GRAPHSIM_CLIENT_SECRET_FILE": secretFile, "GRAPHSIM_LOAD": "a" + string(os.PathListSeparator) + "b", "GRAPHSIM_QUOTAS": "false",
	}
	cfg, err := graphsim.ParseArgs([]string{"-size", "9", "-latency", "20ms", "-faults", script}, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	tenant := cfg.Tenants[0]
	if cfg.Listen != "127.0.0.1:1" || tenant.Size != 9 || tenant.ClientSecret != "from the file" || strings.Join(tenant.Load, "+") != "a+b" || !cfg.NoQuotas ||
		cfg.Latency != 20*time.Millisecond || len(cfg.Faults) != 1 || tenant.ID != graphsim.DemoTenant || tenant.ClientID != graphsim.DemoClient {
		t.Errorf("%+v", cfg)
	}
	if cfg, err := graphsim.ParseArgs(nil, nothing); err != nil || cfg.NoQuotas || cfg.Listen != "127.0.0.1:7081" || cfg.Tenants[0].Size != 60 {
		t.Errorf("defaults: %+v, %v", cfg, err)
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-size", "-1"}, {"-client-secret-file", "/none"}, {"-faults", "/none"}} {
		if _, err := graphsim.ParseArgs(args, nothing); err == nil {
			t.Errorf("%v were taken", args)
		}
	}
	if _, err := graphsim.ParseArgs(nil, func(k string) string { return map[string]string{"GRAPHSIM_SIZE": "many"}[k] }); err == nil || !strings.Contains(err.Error(), "GRAPHSIM_SIZE") {
		t.Errorf("GRAPHSIM_SIZE=many: %v", err)
	}
}

// lines is a log a test can wait on.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// after waits for the text behind a mark, up to a space.
func (l *lines) after(ctx context.Context, mark string) string {
	for {
		if _, rest, ok := strings.Cut(l.String(), mark); ok {
			return strings.Fields(rest)[0]
		}
		select {
		case <-l.more:
		case <-ctx.Done():
			return ""
		}
	}
}

func TestRunServesOverTLSUntilToldToStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := devca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("graphsim"); err != nil {
		t.Fatal(err)
	}
	cfg, err := graphsim.ParseArgs([]string{
		"-listen", "127.0.0.1:0", "-client-secret", secret, "-tls-cert", ca.CertFile("graphsim"), "-tls-key", ca.KeyFile("graphsim"),
		"-load", folder(t, map[string]string{"bad.json": "{", "good.json": `{"@odata.type":"#microsoft.graph.group","displayName":"g"}`}),
	}, nothing)
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{more: make(chan struct{}, 1)}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- graphsim.Run(ctx, cfg, slog.New(slog.NewTextHandler(log, nil))) }()
	address := log.after(ctx, "address=")

	pem, err := os.ReadFile(ca.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	resp, err := client.Get(address + "/_sim/load-report")
	if err != nil {
		t.Fatalf("%v; log:\n%s", err, log)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(body), "bad.json") || !strings.Contains(log.String(), "bad.json") || !strings.Contains(string(body), `"groups": 1`) {
		t.Errorf("report %s\nlog %s", body, log)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if strings.Contains(log.String(), secret) {
		t.Error("the log holds the secret")
	}
}

func TestRunSaysWhatKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	ca, err := devca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("graphsim"); err != nil {
		t.Fatal(err)
	}
	cert := []string{"-tls-cert", ca.CertFile("graphsim"), "-tls-key", ca.KeyFile("graphsim")}
	for want, args := range map[string][]string{
		"client secret":       cert,
		"certificate":         {"-client-secret", "s"},
		"address already in":  append([]string{"-client-secret", "s", "-listen", taken.Addr().String()}, cert...),
		"no such file or dir": append([]string{"-client-secret", "s", "-load", filepath.Join(dir, "none")}, cert...),
	} {
		cfg, err := graphsim.ParseArgs(args, nothing)
		if err != nil {
			t.Fatal(err)
		}
		if err := graphsim.Run(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want something with %q", args, err, want)
		}
	}
}
