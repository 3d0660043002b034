package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Backend is one service behind the gateway.
type Backend struct {
	Name string
	Conn grpc.ClientConnInterface
}

// Backends are the services behind the gateway.
type Backends []Backend

// To returns the connection to the service called name.
func (b Backends) To(name string) (grpc.ClientConnInterface, error) {
	for _, backend := range b {
		if backend.Name == name {
			return backend.Conn, nil
		}
	}
	return nil, fmt.Errorf("the gateway has no service %q: add its row to the table in services/gateway/services.go", name)
}

// probe asks every service for its health at once, and returns the errors by name.
func (b Backends) probe(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed = map[string]error{}
	)
	for _, backend := range b {
		wg.Go(func() {
			if err := serving(ctx, backend.Conn); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[backend.Name] = err
			}
		})
	}
	wg.Wait()
	return failed
}

func serving(ctx context.Context, conn grpc.ClientConnInterface) error {
	health, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if got := health.GetStatus(); got != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health: %s", got)
	}
	return nil
}

// livez reports that this process serves requests. It calls no service.
func (s *Site) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintln(w, "ok")
}

// readyz reports whether every service behind us is healthy; ?verbose lists them.
func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	failed := s.backends.probe(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(failed) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.URL.Query().Has("verbose") {
		for _, backend := range s.backends {
			_, _ = fmt.Fprintf(w, "[%s] %s\n", mark(failed[backend.Name] == nil), backend.Name)
		}
	}
	_, _ = fmt.Fprintln(w, map[bool]string{true: "ok", false: "not ready"}[len(failed) == 0])
}

func mark(ok bool) string {
	if ok {
		return "+"
	}
	return "-"
}

// Ready is the readiness check of the admin port. Its error names the services
// that are not healthy.
func (s *Site) Ready(ctx context.Context) error {
	failed := s.backends.probe(ctx)
	if len(failed) == 0 {
		return nil
	}
	var names []string
	for name, err := range failed {
		names = append(names, fmt.Sprintf("%s: %v", name, err))
	}
	return fmt.Errorf("not serving: %s", strings.Join(names, "; "))
}
