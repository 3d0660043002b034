// Command inventory serves what tenants look like and syncs them, or migrates
// its database.
package main

import "github.com/tenantpilot/tenantpilot/services/inventory"

func main() { inventory.Service.Main() }
