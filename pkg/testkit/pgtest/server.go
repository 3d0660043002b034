package pgtest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest/server"
)

// Server is the throwaway server that tests share: the one that
// TENANTPILOT_TEST_POSTGRES names (a superuser's URL, trusted without
// passwords), else one of this process, which ends with it.
func Server(t testing.TB) Handle {
	t.Helper()
	if url := os.Getenv("TENANTPILOT_TEST_POSTGRES"); url != "" {
		return Handle{URL: url}
	}
	s, err := shared()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return Handle{URL: s.URL()}
}

// shared starts the server of this process. Nobody stops it: its guardian does
// when the process has ended.
var shared = sync.OnceValues(func() (*server.Server, error) { return start(nil) })

// PrivateServer is a server of one test, to be stopped, killed and started again.
type PrivateServer struct {
	*server.Server
}

// Handle is for [On].
func (p *PrivateServer) Handle() Handle { return Handle{URL: p.URL()} }

// Private starts a server for t alone.
func Private(t testing.TB) *PrivateServer {
	t.Helper()
	s, err := start(map[string]string{"shared_buffers": "32MB", "max_connections": "150"})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(server.Immediate); err != nil {
			t.Errorf("pgtest: stop: %v", err)
		}
	})
	return &PrivateServer{Server: s}
}

func start(settings map[string]string) (*server.Server, error) {
	bin, err := server.Find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(memory(), "tp-pgtest-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // another user must get through; the data below is 0700
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return server.Start(ctx, server.Options{Dir: dir, Bin: bin, Disposable: true, Settings: settings})
}

// memory is a folder in memory if there is one, else the system's temporary one.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}
