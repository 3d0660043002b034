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

// livez says that this process answers; it asks nobody.
func (s *Site) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintln(w, "ok")
}

// readyz says whether the services behind us answer; ?verbose says which.
func (s *Site) readyz(w http.ResponseWriter, r *http.Request) {
	services := []string{"operations", "tenancy", "inventory"}
	failed := s.probe(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(failed) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.URL.Query().Has("verbose") {
		for _, name := range services {
			_, _ = fmt.Fprintf(w, "[%s] %s\n", mark(failed[name] == nil), name)
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

// Ready reports, for the admin port, which service doesn't answer.
func (s *Site) Ready(ctx context.Context) error {
	failed := s.probe(ctx)
	if len(failed) == 0 {
		return nil
	}
	var names []string
	for name, err := range failed {
		names = append(names, fmt.Sprintf("%s: %v", name, err))
	}
	return fmt.Errorf("not serving: %s", strings.Join(names, "; "))
}

// probe asks every service for its health at once.
func (s *Site) probe(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed = map[string]error{}
	)
	for name, conn := range map[string]grpc.ClientConnInterface{
		"operations": s.cfg.Operations, "tenancy": s.cfg.Tenancy, "inventory": s.cfg.Inventory,
	} {
		wg.Go(func() {
			if err := serving(ctx, conn); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[name] = err
			}
		})
	}
	wg.Wait()
	return failed
}

func serving(ctx context.Context, conn grpc.ClientConnInterface) error {
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if got := answer.GetStatus(); got != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health: %s", got)
	}
	return nil
}
