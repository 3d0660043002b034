// Command rooms checks who imports whom in the checkout it is run in, and that the table
// of services fits the checkout; see packages rooms and roster.
package main

import (
	"fmt"
	"os"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/rooms"
	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
)

func main() {
	if err := roster.Check("."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	found, err := rooms.Check(os.DirFS("."))
	if err != nil {
		fmt.Fprintln(os.Stderr, "rooms:", err)
		os.Exit(1)
	}
	for _, each := range found {
		fmt.Fprintln(os.Stderr, each)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}
