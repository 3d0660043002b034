// Command gateway serves the JSON API and the console. Its configuration is its
// environment, see gateway.Config.
package main

import (
	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/services/gateway"
)

func main() { obs.Main("gateway", gateway.Main) }
