// Command tenancy serves workspaces, tenants and tokens, migrates its database,
// or makes the first workspace, owner and token.
package main

import "github.com/tenantpilot/tenantpilot/services/tenancy"

func main() { tenancy.Service.Main() }
