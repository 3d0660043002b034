package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Logger writes to w as LOG_FORMAT (json, the default, or text) and LOG_LEVEL
// (debug, info, warn, error) say, with the ids of the trace that the context is in.
func Logger(w io.Writer, name string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level()}
	var h slog.Handler = slog.NewJSONHandler(w, opts)
	if strings.EqualFold(os.Getenv("LOG_FORMAT"), "text") {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(traced{h}).With("service", name)
}

func level() slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(os.Getenv("LOG_LEVEL"))); err != nil {
		return slog.LevelInfo
	}
	return l
}

// checkLogging refuses settings that Logger would quietly take for the default.
func checkLogging() error {
	var l slog.Level
	if text := os.Getenv("LOG_LEVEL"); text != "" {
		if err := l.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("LOG_LEVEL: %q is none of debug, info, warn, error", text)
		}
	}
	switch format := os.Getenv("LOG_FORMAT"); strings.ToLower(format) {
	case "", "json", "text":
		return nil
	default:
		return fmt.Errorf("LOG_FORMAT: %q is neither json nor text", format)
	}
}

// traced adds the trace of the context to each record.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }
func (h traced) WithGroup(name string) slog.Handler       { return traced{h.Handler.WithGroup(name)} }
