// Command build compiles the launcher, the simulator and every service of the
// table into .bin of the checkout that it is run in; with an argument, the launcher
// alone. See package build.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/build"
	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, len(os.Args) > 1); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, launcherOnly bool) error {
	commands := []string{"./deploy/local/cmd/local"}
	if launcherOnly {
		return build.Run(ctx, ".bin", commands, os.Stdout)
	}
	if err := roster.Check("."); err != nil {
		return err
	}
	commands = append(commands, "./pkg/testkit/graphsim/cmd/graphsim")
	for _, s := range roster.All() {
		commands = append(commands, "./services/"+s.Name+"/cmd/"+s.Name)
	}
	return build.Run(ctx, ".bin", commands, os.Stdout)
}
