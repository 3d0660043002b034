// Command operations serves the canonical run store, migrates its database, or
// reserves run ids in it.
package main

import "github.com/tenantpilot/tenantpilot/services/operations"

func main() { operations.Service.Main() }
