// Command tenancy serves workspaces, tenants and tokens, migrates its database,
// or makes the first workspace, owner and token.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/services/tenancy"
)

func main() {
	obs.Main(tenancy.Name, func(ctx context.Context, log *slog.Logger) error {
		var cfg tenancy.Config
		if err := obs.LoadConfig(tenancy.EnvPrefix, &cfg); err != nil {
			return err
		}
		switch command := append(os.Args[1:], "serve")[0]; command {
		case "serve":
			return tenancy.Run(ctx, cfg, log)
		case "migrate":
			return tenancy.Migrate(ctx, cfg.Database.OwnerURL)
		case "bootstrap":
			b, err := tenancy.ParseBootstrap(os.Args[2:])
			if err != nil {
				return err
			}
			return b.Run(ctx, cfg, log)
		default:
			return fmt.Errorf("unknown command %q: serve (the default), migrate or bootstrap", command)
		}
	})
}
