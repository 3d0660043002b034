// Command inventory serves what tenants look like and syncs them, or migrates
// its database.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/services/inventory"
)

func main() {
	obs.Main(inventory.Name, func(ctx context.Context, log *slog.Logger) error {
		var cfg inventory.Config
		if err := obs.LoadConfig(inventory.EnvPrefix, &cfg); err != nil {
			return err
		}
		switch command := append(os.Args[1:], "serve")[0]; command {
		case "serve":
			return inventory.Run(ctx, cfg, log)
		case "migrate":
			return inventory.Migrate(ctx, cfg.Database.OwnerURL)
		default:
			return fmt.Errorf("unknown command %q: serve (the default) or migrate", command)
		}
	})
}
