// Package obs is what a process needs to be run and seen: configuration from
// the environment, signals, logs, OpenTelemetry, the debug port. It decides
// nothing of what the process does.
package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Main is a process: it runs run until that returns or SIGINT or SIGTERM ends
// its context. A failure is one error line and exit code 1; a second signal
// ends the process at once.
func Main(name string, run func(ctx context.Context, log *slog.Logger) error) {
	if err := runProcess(name, run); err != nil {
		os.Exit(1)
	}
}

func runProcess(name string, run func(ctx context.Context, log *slog.Logger) error) (err error) {
	log := Logger(os.Stderr, name)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from here on a signal has its usual effect
	defer func() {
		if err != nil {
			log.Error("failed", "err", err)
		}
	}()
	if err := checkLogging(); err != nil {
		return err
	}
	flush, err := startTelemetry(ctx, name)
	if err != nil {
		return err
	}
	defer func() {
		if err := flush(); err != nil {
			log.Warn("telemetry not sent", "err", err)
		}
	}()
	err = run(ctx, log)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // asked to stop, and stopped
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
