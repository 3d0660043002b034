// Command operations serves the canonical run store, or migrates its database.
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
		default:
			return fmt.Errorf("unknown command %q: serve (the default) or migrate", command)
		}
	})
}
