// Command gateway serves the JSON API and the console.
package main

import (
	"context"
	"log/slog"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/services/gateway"
)

func main() {
	obs.Main(gateway.Name, func(ctx context.Context, log *slog.Logger) error {
		var cfg gateway.Config
		if err := obs.LoadConfig(gateway.EnvPrefix, &cfg); err != nil {
			return err
		}
		return gateway.Run(ctx, cfg, log)
	})
}
