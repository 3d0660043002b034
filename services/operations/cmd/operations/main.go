// Command operations serves the canonical run store, migrates its database, or
// reserves run ids in it.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/services/operations"
)

func main() {
	obs.Main(operations.Name, func(ctx context.Context, log *slog.Logger) error {
		var cfg operations.Config
		if err := obs.LoadConfig(operations.EnvPrefix, &cfg); err != nil {
			return err
		}
		switch command := append(os.Args[1:], "serve")[0]; command {
		case "serve":
			return operations.Run(ctx, cfg, log)
		case "migrate":
			return operations.Migrate(ctx, cfg.Database.OwnerURL)
		case "bootstrap":
			b, err := operations.ParseBootstrap(os.Args[2:])
			if err != nil {
				return err
			}
			return b.Run(ctx, cfg.Database.OwnerURL, log)
		default:
			return fmt.Errorf("unknown command %q: serve (the default), migrate or bootstrap", command)
		}
	})
}
