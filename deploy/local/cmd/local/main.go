// Command local starts TenantPilot on one machine; see package local.
package main

import (
	"os"

	"github.com/tenantpilot/tenantpilot/deploy/local"
)

func main() { os.Exit(local.Main(os.Args[1:])) }
