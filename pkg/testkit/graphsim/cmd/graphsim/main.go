// Command graphsim serves a simulated Microsoft Graph on loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim"
)

func main() {
	obs.Main("graphsim", func(ctx context.Context, log *slog.Logger) error {
		cfg, err := graphsim.ParseArgs(os.Args[1:], os.Getenv)
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		if err != nil {
			return err
		}
		return graphsim.Run(ctx, cfg, log)
	})
}
