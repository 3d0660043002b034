// Command takeover moves an older TenantPilot's runs into the canonical store.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tenantpilot/tenantpilot/services/operations/takeover"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := takeover.Command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "takeover:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop is called above
	}
}
