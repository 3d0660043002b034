// Command rooms checks who imports whom in the checkout it is run in; see package rooms.
package main

import (
	"fmt"
	"os"

	"github.com/tenantpilot/tenantpilot/deploy/local/internal/rooms"
)

func main() {
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
