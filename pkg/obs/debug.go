package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ServeDebug serves /livez, /readyz, /metrics and /debug/pprof on addr until
// ctx ends; an empty addr serves nothing. The port is for operators: it has no
// access control, so addr should be loopback or a private network. ready may be
// nil; its error is logged at level debug, and shown to nobody. /metrics
// shows what is gathered from more beside what every Go process has.
func ServeDebug(ctx context.Context, addr string, ready func(context.Context) error, log *slog.Logger, more ...prometheus.Gatherer) error {
	if addr == "" {
		return nil
	}
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("debug port: %w", err)
	}
	srv := &http.Server{Handler: debugMux(ready, log, more), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 32 << 10}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // nobody's request on this port needs finishing
	defer stop()
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("debug port: %w", err)
	}
	return nil
}

func debugMux(ready func(context.Context) error, log *slog.Logger, more []prometheus.Gatherer) *http.ServeMux {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		if ready != nil {
			if err := ready(ctx); err != nil {
				log.DebugContext(ctx, "not ready", "err", err)
				http.Error(w, "not ready", http.StatusServiceUnavailable)
				return
			}
		}
		alive(w, r)
	})
	all := append(prometheus.Gatherers{prometheus.DefaultGatherer, build()}, more...)
	mux.Handle("GET /metrics", promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// build is a series that is always 1 and whose labels say what was built.
func build() prometheus.Gatherer {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tenantpilot_build_info", Help: "What this process was built from.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	registry := prometheus.NewRegistry()
	registry.MustRegister(info)
	return registry
}
