package gateway

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/rpc"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/devca"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/rpctest"
)

func TestMain(m *testing.M) { rpctest.VerifyNoLeaks(m) }

// TestServe starts a gateway whose services are down. It is alive but not ready, and
// it stops when its context ends.
func TestServe(t *testing.T) {
	t.Parallel()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	go func() { ended <- serve(ctx, lis, config(t), log) }()
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/openapi.json": 200, "/login": 200} {
		if got := get(t, "http://"+lis.Addr().String()+path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestRefusesABadSessionKey(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.SessionKey = base64.StdEncoding.EncodeToString([]byte("short"))
	err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "GATEWAY_SESSION_KEY") || strings.Contains(err.Error(), cfg.SessionKey) {
		t.Errorf("got %v", err)
	}
}

func TestRefusesANegativeOffset(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.LegacyRunIDOffset = -1
	err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "GATEWAY_LEGACY_RUN_ID_OFFSET") {
		t.Errorf("got %v", err)
	}
}

func config(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	ca, err := devca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("gateway"); err != nil {
		t.Fatal(err)
	}
	if err := devca.ActorKey(dir); err != nil {
		t.Fatal(err)
	}
	nowhere := "127.0.0.1:1"
	return Config{
		Listen: "127.0.0.1:0", ActorKey: filepath.Join(dir, "actor-key.pem"), RateLimit: 50, RateBurst: 200,
		ClientConfig: rpc.ClientConfig{TLSCert: ca.CertFile("gateway"), TLSKey: ca.KeyFile("gateway"), TLSCA: ca.RootFile()},
		Targets:      Targets{Operations: nowhere, Tenancy: nowhere, Inventory: nowhere},
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
